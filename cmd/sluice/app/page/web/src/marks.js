// The mark of each state in a cell.

// marks draws a state; share is how much of a namespace's cell it is true of.
export function marks(painter, state, x, y, size, share) {
  const { pen, colours } = painter;
  const inset = size >= 8 ? 1.5 : size >= 5 ? 0.5 : 0;
  const whole = size - 2 * inset;
  const draw = shapes[state];
  if (!draw) return;
  const side = share >= 1 ? whole : Math.max(Math.min(3, whole), whole * Math.sqrt(share));
  const off = inset + (whole - side) / 2 + (size >= 8 ? 0.5 : 0);
  draw(painter, pen, colours, x + off, y + off, side, size);
}

function square(pen, x, y, side) {
  if (side < 8) {
    pen.fillRect(x, y, side, side);
    return;
  }
  pen.beginPath();
  pen.roundRect(x, y, side, side, 2);
  pen.fill();
}

// signs are drawn with strokes, which need room.
function sign(pen, colour, x, y, side, strokes) {
  if (side < 8) return;
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(1.5, side / 9);
  pen.beginPath();
  for (const [ax, ay, bx, by] of strokes) {
    pen.moveTo(x + ax * side, y + ay * side);
    pen.lineTo(x + bx * side, y + by * side);
  }
  pen.stroke();
}

const level = [0.22, 0.5, 0.78, 0.5];
const wave = [[0.18, 0.58, 0.4, 0.42], [0.4, 0.42, 0.6, 0.58], [0.6, 0.58, 0.82, 0.42]];
const upright = [0.5, 0.22, 0.5, 0.78];

function hatch(painter, colour, ground) {
  const key = `${colour} ${ground}`;
  if (!painter.patterns.has(key)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    if (ground) {
      pen.globalAlpha = 0.25;
      pen.fillStyle = ground;
      pen.fillRect(0, 0, 6, 6);
      pen.globalAlpha = 1;
    }
    pen.strokeStyle = colour;
    pen.lineWidth = 1.8;
    pen.beginPath();
    for (const at of [-6, 0, 6]) {
      pen.moveTo(at - 1, 7);
      pen.lineTo(at + 7, -1);
    }
    pen.stroke();
    painter.patterns.set(key, painter.pen.createPattern(tile, "repeat"));
  }
  return painter.patterns.get(key);
}

const shapes = {
  all(painter, pen, colours, x, y, side) {
    pen.fillStyle = colours.all;
    square(pen, x, y, side);
  },
  // Some ports: a smaller square in a lighter colour.
  some(painter, pen, colours, x, y, side) {
    pen.fillStyle = colours.some;
    const inner = side >= 8 ? side * 0.62 : side;
    square(pen, x + (side - inner) / 2, y + (side - inner) / 2, inner);
  },
  depends(painter, pen, colours, x, y, side) {
    pen.fillStyle = side >= 7 ? hatch(painter, colours.depends, colours.depends) : colours.depends;
    square(pen, x, y, side);
  },
  added(painter, pen, colours, x, y, side) {
    pen.fillStyle = colours.added;
    square(pen, x, y, side);
    sign(pen, colours.paper, x, y, side, [level, upright]);
  },
  removed(painter, pen, colours, x, y, side) {
    pen.fillStyle = colours.removed;
    square(pen, x, y, side);
    sign(pen, colours.paper, x, y, side, [level]);
  },
  changed(painter, pen, colours, x, y, side) {
    pen.fillStyle = colours.changed;
    square(pen, x, y, side);
    sign(pen, colours.paper, x, y, side, wave);
  },
  unasked(painter, pen, colours, x, y, side) {
    pen.fillStyle = colours.unasked;
    pen.fillRect(x - 1, y - 1, side + 2, side + 2);
  },
  self(painter, pen, colours, x, y, side) {
    if (side < 5) return;
    pen.strokeStyle = colours.quiet;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.arc(x + side / 2, y + side / 2, Math.min(3, side / 4), 0, 2 * Math.PI);
    pen.stroke();
  },
};
