//! Recurrent layers (RNN, GRU, LSTM), written out step by step: the number of steps is known.

use ndarray::{ArrayD, Axis as ArrayAxis, IxDyn, Slice, arr0};

use super::translation::Translation;
use super::value::{Computed, Side, Site, Value};
use crate::net::error::Result;
use crate::net::op::{Add, Mul, Op, Relu, Sigmoid, Sub, Tanh};

/// The weights of one direction.
struct Direction {
    /// Of the input, (gates H, I).
    input: ArrayD<f32>,
    /// Of the state, (gates H, H), as a node that all steps read.
    state: Computed,
    /// Added to both, each (gates H).
    biases: [Vec<f32>; 2],
    /// Of the cell, each (H): input, output and forget gate of an LSTM.
    peepholes: Option<[ArrayD<f32>; 3]>,
    /// The functions of the gates, of the new value, and of the cell's output.
    functions: Vec<Op>,
    is_reverse: bool,
}

/// A state and, of an LSTM, its cell; `None` where all is 0.
#[derive(Clone, Default)]
struct Memory {
    state: Option<Computed>,
    cell: Option<Computed>,
}

impl Translation<'_> {
    /// The states at all steps, the last state, and the last cell of an LSTM.
    pub(super) fn recurrent(&mut self, site: &Site) -> Result<Vec<Value>> {
        let layout = site.integer("layout", 0);
        let x = self.computed(site, 0)?;
        if x.rank() != 3 || ![0, 1].contains(&layout) {
            return Err(site.refused("a sequence (T, N, I) or (N, T, I)", format!("{:?}", x.shape(self.batch))));
        }
        // Inside, tokens come first: (T, N, I).
        let x = if layout == 1 { x.with(x.arrangement.transposed(&[1, 0, 2])) } else { x };
        let steps = x.shape(self.batch)[0];
        if let Some(lengths) = self.constant(site, 4)?
            && !matches!(lengths, crate::store::onnx::Constant::Integers(lengths) if lengths.iter().all(|&length| length == steps as i64))
        {
            return Err(site.refused(format!("sequences of {steps} steps each"), format!("{lengths:?}")));
        }
        let directions: &[bool] = match site.node.text("direction").unwrap_or("forward") {
            "forward" => &[false],
            "reverse" => &[true],
            "bidirectional" => &[false, true],
            other => return Err(site.refused("direction forward, reverse or bidirectional", other)),
        };
        if site.node.float("clip").is_some() || site.integer("input_forget", 0) != 0 {
            return Err(site.refused("no clip and no input_forget", "one of them"));
        }
        let (mut all, mut states, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        for (number, &is_reverse) in directions.iter().enumerate() {
            let word = if is_reverse { "reverse" } else { "forward" };
            let direction = self.direction(site, number, directions.len(), is_reverse)?;
            let memory = Memory {
                state: self.start(site, 5, number, layout)?,
                cell: if site.node.operation == "LSTM" { self.start(site, 6, number, layout)? } else { None },
            };
            let (mut own, memory) = self.steps(site, word, &x, &direction, memory)?;
            if is_reverse {
                own.reverse();
            }
            let own = own.into_iter().map(Side::Computed).collect();
            // (T, 1, N, H).
            let own = self.concatenated(site, &format!("{}.{word}", site.name), own, 0)?;
            all.push(Side::Computed(own.with(own.arrangement.unsqueezed(&[1]))));
            states.extend(memory.state.map(Side::Computed));
            cells.extend(memory.cell.map(Side::Computed));
        }
        let order: [&[usize]; 2] = if layout == 1 { [&[2, 0, 1, 3], &[1, 0, 2]] } else { [&[0, 1, 2, 3], &[0, 1, 2]] };
        let all = self.directions(site, &site.name, all, 1)?;
        let mut values = vec![Value::Computed(all.with(all.arrangement.transposed(order[0])))];
        for (word, last) in [("state", states), ("cell", cells)] {
            // The last state of each direction has the axis of steps, of length 1, where that of the directions goes.
            if last.len() == directions.len() {
                let last = self.directions(site, &format!("{}.{word}", site.name), last, 0)?;
                values.push(Value::Computed(last.with(last.arrangement.transposed(order[1]))));
            }
        }
        Ok(values)
    }

    /// One value, or two side by side.
    fn directions(&mut self, site: &Site, wish: &str, mut sides: Vec<Side>, axis: usize) -> Result<Computed> {
        match (sides.len(), sides.pop()) {
            (1, Some(Side::Computed(only))) => Ok(only),
            (_, last) => self.concatenated(site, wish, sides.into_iter().chain(last).collect(), axis),
        }
    }

    fn direction(&mut self, site: &Site, number: usize, count: usize, is_reverse: bool) -> Result<Direction> {
        let part = |array: &ArrayD<f32>| array.index_axis(ArrayAxis(0), number).to_owned();
        let [input, state] = [self.weights(site, 1)?, self.weights(site, 2)?];
        if [&input, &state].iter().any(|array| array.ndim() != 3 || array.shape()[0] != count) {
            return Err(site.refused(format!("weights of {count} directions"), format!("{:?}", input.shape())));
        }
        let (input, state) = (part(&input), part(&state));
        let [rows, hidden] = [state.shape()[0], state.shape()[1]];
        let (gates, functions): (usize, &[&str]) = match site.node.operation.as_str() {
            "LSTM" => (4, &["Sigmoid", "Tanh", "Tanh"]),
            "GRU" => (3, &["Sigmoid", "Tanh"]),
            _ => (1, &["Tanh"]),
        };
        if rows != gates * hidden || input.shape()[0] != rows {
            return Err(site.refused(format!("weights of {gates} gates"), format!("{:?}", state.shape())));
        }
        let biases = match self.floats(site, 3)? {
            None => [vec![0.0; rows], vec![0.0; rows]],
            Some(biases) if biases.shape() == [count, 2 * rows] => {
                let all: Vec<f32> = part(biases).iter().copied().collect();
                [all[..rows].to_vec(), all[rows..].to_vec()]
            }
            Some(biases) => {
                return Err(site.refused(format!("biases ({count}, {})", 2 * rows), format!("{:?}", biases.shape())));
            }
        };
        let peepholes = match self.floats(site, 7)? {
            Some(peepholes) if gates == 4 && peepholes.shape() == [count, 3 * hidden] => {
                let all = part(peepholes);
                Some([0, 1, 2].map(|gate| {
                    all.slice_axis(ArrayAxis(0), Slice::from(gate * hidden..(gate + 1) * hidden)).to_owned()
                }))
            }
            Some(peepholes) => {
                return Err(
                    site.refused(format!("peepholes ({count}, {})", 3 * hidden), format!("{:?}", peepholes.shape()))
                );
            }
            None => None,
        };
        let named: Vec<String> = site.node.texts("activations").unwrap_or_default().to_vec();
        let named = named.get(number * functions.len()..(number + 1) * functions.len()).map(<[String]>::to_vec);
        let named = named.unwrap_or_else(|| functions.iter().map(|&name| name.to_owned()).collect());
        let function = |name: &String| -> Result<Op> {
            Ok(match name.to_ascii_lowercase().as_str() {
                "sigmoid" => Sigmoid.into(),
                "tanh" => Tanh.into(),
                "relu" => Relu.into(),
                other => return Err(site.refused("activations Sigmoid, Tanh or Relu", other)),
            })
        };
        let functions = named.iter().map(function).collect::<Result<_>>()?;
        let word = if is_reverse { "reverse" } else { "forward" };
        let state = self.push_constant(&format!("{}.{word}.recurrence", site.name), &state)?;
        Ok(Direction { input, state, biases, peepholes, functions, is_reverse })
    }

    /// The state at the start, (1, N, H); `None` where it is 0.
    fn start(&mut self, site: &Site, which: usize, number: usize, layout: i64) -> Result<Option<Computed>> {
        if self.value(site, which)?.is_none() {
            return Ok(None);
        }
        match self.side(site, which)? {
            Side::Constant(array, _) if array.iter().all(|&value| value == 0.0) => Ok(None),
            Side::Constant(array, name) => {
                let array = if layout == 1 { array.permuted_axes(IxDyn(&[1, 0, 2])) } else { array };
                let own =
                    array.slice_axis(ArrayAxis(0), Slice::from(number..number + 1)).as_standard_layout().into_owned();
                // The same for all images, or one by one where the first axis is no batch.
                let first = own.slice_axis(ArrayAxis(1), Slice::from(0..1)).to_owned();
                let own = if own.axis_iter(ArrayAxis(1)).all(|row| row == first.index_axis(ArrayAxis(1), 0)) {
                    first
                } else {
                    own
                };
                self.push_constant(&name, &own).map(Some)
            }
            Side::Computed(value) => {
                let value = if layout == 1 { value.with(value.arrangement.transposed(&[1, 0, 2])) } else { value };
                self.cut(site, &format!("{}.start.{number}", site.name), &value, 0, [number, number + 1, 1]).map(Some)
            }
        }
    }

    /// The state after each step, in the order of the steps, and the memory after the last.
    fn steps(
        &mut self,
        site: &Site,
        word: &str,
        x: &Computed,
        direction: &Direction,
        mut memory: Memory,
    ) -> Result<(Vec<Computed>, Memory)> {
        let rows = direction.input.shape()[0];
        let is_gru = site.node.operation == "GRU";
        // A GRU's new value adds the state's bias by itself; elsewhere both are added at once.
        let [own, other] = &direction.biases;
        let hidden = direction.state.shape(1)[1];
        let split = if is_gru { rows - hidden } else { rows };
        let bias =
            own.iter().zip(other).enumerate().map(|(row, (own, other))| if row < split { own + other } else { *own });
        let bias: Vec<f32> = bias.collect();
        let wish = format!("{}.{word}.input", site.name);
        let gates = self.linear(site, &wish, x, 2, direction.input.clone(), Some(bias))?;
        let count = x.shape(self.batch)[0];
        let mut all = Vec::new();
        for step in 0..count {
            let at = if direction.is_reverse { count - 1 - step } else { step };
            let wish = format!("{}.{word}.{at}", site.name);
            let now = self.cut(site, &format!("{wish}.input"), &gates, 0, [at, at + 1, 1])?;
            memory = match site.node.operation.as_str() {
                "LSTM" => self.lstm_step(site, &wish, direction, &now, &memory)?,
                "GRU" => self.gru_step(site, &wish, direction, &now, &memory)?,
                _ => {
                    let sum = self.with_state(site, &format!("{wish}.sum"), direction, &now, &memory, [0, rows])?;
                    Memory { state: Some(self.push_like(&wish, direction.functions[0].clone(), &[&sum])?), cell: None }
                }
            };
            all.extend(memory.state.clone());
        }
        Ok((all, memory))
    }

    /// What the input gives and what the state gives, of the rows from one to before the other.
    fn with_state(
        &mut self,
        site: &Site,
        wish: &str,
        direction: &Direction,
        now: &Computed,
        memory: &Memory,
        rows: [usize; 2],
    ) -> Result<Computed> {
        let Some(state) = &memory.state else { return Ok(now.clone()) };
        let product = self.of_state(site, wish, direction, state, rows)?;
        self.sum(site, wish, now, &product)
    }

    /// The state's product with its weights, of some rows.
    fn of_state(
        &mut self,
        site: &Site,
        wish: &str,
        direction: &Direction,
        state: &Computed,
        [first, last]: [usize; 2],
    ) -> Result<Computed> {
        let mut weights = direction.state.clone();
        if last - first < weights.shape(1)[0] {
            weights = self.cut(site, &format!("{wish}.weights"), &weights, 0, [first, last, 1])?;
        }
        let sides = [Side::Computed(state.clone()), Side::Computed(weights)];
        self.contracted(site, &format!("{wish}.product"), sides, [&[0, 1, 2], &[3, 2]], &[0, 1, 3])
    }

    fn lstm_step(
        &mut self,
        site: &Site,
        wish: &str,
        direction: &Direction,
        now: &Computed,
        memory: &Memory,
    ) -> Result<Memory> {
        let hidden = direction.state.shape(1)[1];
        let gates = self.with_state(site, &format!("{wish}.gates"), direction, now, memory, [0, 4 * hidden])?;
        let mut parts = Vec::new();
        // ONNX's order.
        for (number, word) in ["in", "out", "forget", "new"].into_iter().enumerate() {
            parts.push(self.cut(
                site,
                &format!("{wish}.{word}.sum"),
                &gates,
                2,
                [number * hidden, (number + 1) * hidden, 1],
            )?);
        }
        let peep = |all: &mut Self, sum: &Computed, cell: &Option<Computed>, number: usize, word: &str| match (
            &direction.peepholes,
            cell,
        ) {
            (Some(peepholes), Some(cell)) => {
                let wish = format!("{wish}.{word}.peephole");
                let weight = Side::Constant(peepholes[number].clone(), format!("{wish}.weight"));
                let seen = all.paired(site, &wish, Mul.into(), [Side::Computed(cell.clone()), weight])?;
                all.sum(site, &format!("{wish}.sum"), sum, &seen)
            }
            _ => Ok(sum.clone()),
        };
        let [gate, new, shown] = direction.functions.as_slice() else {
            return Err(site.refused("three activations", "others"));
        };
        let into = peep(self, &parts[0], &memory.cell, 0, "in")?;
        let into = self.push_like(&format!("{wish}.in"), gate.clone(), &[&into])?;
        let fresh = self.push_like(&format!("{wish}.new"), new.clone(), &[&parts[3]])?;
        let mut cell = self.product_of(site, &format!("{wish}.taken"), &into, &fresh)?;
        if let Some(before) = &memory.cell {
            let forget = peep(self, &parts[2], &memory.cell, 2, "forget")?;
            let forget = self.push_like(&format!("{wish}.forget"), gate.clone(), &[&forget])?;
            let kept = self.product_of(site, &format!("{wish}.kept"), &forget, before)?;
            cell = self.sum(site, &format!("{wish}.cell"), &kept, &cell)?;
        }
        let cell_now = Some(cell.clone());
        let out = peep(self, &parts[1], &cell_now, 1, "out")?;
        let out = self.push_like(&format!("{wish}.out"), gate.clone(), &[&out])?;
        let bent = self.push_like(&format!("{wish}.shown"), shown.clone(), &[&cell])?;
        let state = self.product_of(site, wish, &out, &bent)?;
        Ok(Memory { state: Some(state), cell: Some(cell) })
    }

    fn gru_step(
        &mut self,
        site: &Site,
        wish: &str,
        direction: &Direction,
        now: &Computed,
        memory: &Memory,
    ) -> Result<Memory> {
        let hidden = direction.state.shape(1)[1];
        let is_after = site.integer("linear_before_reset", 0) != 0;
        let bias = Side::Constant(
            ArrayD::from_shape_vec(IxDyn(&[hidden]), direction.biases[1][2 * hidden..].to_vec())
                .map_err(|error| site.refused("a bias", error))?,
            format!("{wish}.new.bias"),
        );
        let [gate, new] = direction.functions.as_slice() else { return Err(site.refused("two activations", "others")) };
        let gates = self.cut(site, &format!("{wish}.gates.input"), now, 2, [0, 2 * hidden, 1])?;
        let gates = self.with_state(site, &format!("{wish}.gates"), direction, &gates, memory, [0, 2 * hidden])?;
        let gates = self.push_like(&format!("{wish}.opened"), gate.clone(), &[&gates])?;
        let update = self.cut(site, &format!("{wish}.update"), &gates, 2, [0, hidden, 1])?;
        let reset = self.cut(site, &format!("{wish}.reset"), &gates, 2, [hidden, 2 * hidden, 1])?;
        let mut fresh = self.cut(site, &format!("{wish}.new.input"), now, 2, [2 * hidden, 3 * hidden, 1])?;
        let rows = [2 * hidden, 3 * hidden];
        let named = |part: &str| format!("{wish}.new.{part}");
        let add_bias =
            |all: &mut Self, value: Side, part: &str| all.paired(site, &named(part), Add.into(), [value, bias.clone()]);
        fresh = match &memory.state {
            // r (H R + b), of which the state is 0.
            None if is_after => {
                let added = self.paired(site, &named("reset"), Mul.into(), [Side::Computed(reset), bias.clone()])?;
                self.sum(site, &named("sum"), &fresh, &added)?
            }
            None => add_bias(self, Side::Computed(fresh), "sum")?,
            Some(state) if is_after => {
                let product = self.of_state(site, &named("state"), direction, state, rows)?;
                let product = add_bias(self, Side::Computed(product), "biased")?;
                let added = self.product_of(site, &named("reset"), &reset, &product)?;
                self.sum(site, &named("sum"), &fresh, &added)?
            }
            Some(state) => {
                let seen = self.product_of(site, &named("seen"), &reset, state)?;
                let product = self.of_state(site, &named("state"), direction, &seen, rows)?;
                let product = add_bias(self, Side::Computed(product), "biased")?;
                self.sum(site, &named("sum"), &fresh, &product)?
            }
        };
        let fresh = self.push_like(&format!("{wish}.new"), new.clone(), &[&fresh])?;
        // (1 - z) h~ + z h.
        let one = Side::Constant(arr0(1.0).into_dyn(), format!("{wish}.one"));
        let rest = self.paired(site, &format!("{wish}.rest"), Sub.into(), [one, Side::Computed(update.clone())])?;
        let mut state = self.product_of(site, &format!("{wish}.taken"), &rest, &fresh)?;
        if let Some(before) = &memory.state {
            let kept = self.product_of(site, &format!("{wish}.kept"), &update, before)?;
            state = self.sum(site, wish, &state, &kept)?;
        }
        Ok(Memory { state: Some(state), cell: None })
    }

    fn sum(&mut self, site: &Site, wish: &str, a: &Computed, b: &Computed) -> Result<Computed> {
        self.paired(site, wish, Add.into(), [Side::Computed(a.clone()), Side::Computed(b.clone())])
    }

    fn product_of(&mut self, site: &Site, wish: &str, a: &Computed, b: &Computed) -> Result<Computed> {
        self.paired(site, wish, Mul.into(), [Side::Computed(a.clone()), Side::Computed(b.clone())])
    }
}
