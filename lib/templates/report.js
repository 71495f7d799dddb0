'use strict';
// Everything is readable without this: it opens pictures enlarged, alone or two side by side.
(() => {
  const viewer = document.getElementById('viewer');
  const sides = viewer.querySelector('.sides');
  const status = viewer.querySelector('.size');
  const pictures = [...document.querySelectorAll('.paper img')];
  let shown = [];
  let scale = 1;
  let opener = null;

  const natural = (picture) => picture.naturalWidth || 1;
  const name = (picture) => picture.closest('figure').querySelector('figcaption a').textContent;

  function draw() {
    sides.querySelectorAll('img').forEach((image, side) => {
      image.style.width = `${natural(shown[side]) * scale}px`;
    });
    status.textContent = `${shown.map(name).join(' beside ')}, ${Math.round(scale * 100)}%`;
  }

  function fit() {
    const room = sides.firstElementChild;
    const widest = Math.max(...shown.map(natural));
    const tallest = Math.max(...shown.map((picture) => picture.naturalHeight || 1));
    const fitting = Math.min(room.clientWidth / widest, room.clientHeight / tallest);
    scale = fitting >= 1 ? Math.floor(fitting) : fitting;
  }

  function show(chosen) {
    shown = chosen;
    sides.replaceChildren(...chosen.map((picture) => {
      const side = document.createElement('div');
      const image = new Image();
      image.src = picture.src;
      image.alt = picture.alt;
      side.append(image);
      return side;
    }));
    if (!viewer.open) viewer.showModal();
    fit();
    draw();
  }

  function step(by) {
    const last = pictures.indexOf(shown[shown.length - 1]);
    show([...shown.slice(0, -1), pictures[(last + by + pictures.length) % pictures.length]]);
  }

  const acts = {
    in: () => { scale *= 1.5; draw(); },
    out: () => { scale /= 1.5; draw(); },
    natural: () => { scale = 1; draw(); },
    previous: () => step(-1),
    next: () => step(1),
    close: () => viewer.close(),
  };
  const keys = { '+': 'in', '=': 'in', '-': 'out', 1: 'natural', ArrowLeft: 'previous', ArrowRight: 'next' };

  viewer.addEventListener('click', (event) => acts[event.target.dataset.act]?.());
  viewer.addEventListener('keydown', (event) => {
    if (keys[event.key]) {
      event.preventDefault();
      acts[keys[event.key]]();
    }
  });
  viewer.addEventListener('close', () => opener?.focus());

  const compared = new Set();
  pictures.forEach((picture) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-label', `Enlarge: ${picture.alt}`);
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener('click', () => {
      opener = button;
      show([picture]);
    });
    const label = document.createElement('label');
    const box = document.createElement('input');
    box.type = 'checkbox';
    label.append(box, ' compare');
    picture.closest('figure').querySelector('figcaption').append(label);
    box.addEventListener('change', () => {
      if (box.checked) compared.add(box); else compared.delete(box);
      if (compared.size === 2) {
        const two = [...compared].map((chosen) => chosen.closest('figure').querySelector('img'));
        compared.forEach((chosen) => { chosen.checked = false; });
        compared.clear();
        opener = box;
        show(two);
      }
    });
  });

  // A link to a file opens its details.
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener('hashchange', reveal);
  addEventListener('beforeprint', () => document.querySelectorAll('details').forEach((one) => { one.open = true; }));
  reveal();
})();
