use super::*;

#[test]
fn averages_reach_back_further_as_the_training_goes_on() {
    assert_eq!(averaging(0.9995, 8), 0.5);
    assert_eq!(averaging(0.9995, 100_000), 0.9995);
    assert_eq!(averaging(0.0, 100_000), 0.0);
}
