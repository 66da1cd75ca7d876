(() => {
  const parts = JSON.parse(document.querySelector('main').dataset.parts);
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's'], [.001, 'ms'], [1e-6, '\u00b5s']];
  const span = seconds => {
    if (seconds <= 0) return '0 s';
    const at = units.findIndex(unit => seconds >= unit[0] * .9995);
    const [size, name] = units[at < 0 ? 5 : at];
    if (size <= 1) return `${+(seconds / size).toPrecision(3)} ${name}`;
    const rest = Math.floor(seconds % size / units[at + 1][0]);
    return `${Math.floor(seconds / size)} ${name}` + (rest ? ` ${rest} ${units[at + 1][1]}` : '');
  };
  const plain = value => value >= 1000 ? Math.round(value).toLocaleString('en') : String(+value.toPrecision(3));
  const clock = x => {
    const part = parts.filter(each => x >= each[0]).pop() || parts[0];
    const date = new Date((part[2] + Math.min(x, part[1]) - part[0]) * 1000);
    return isNaN(date) ? '' : ` (${date.toISOString().slice(11, 19)} UTC)`;
  };
  const axis = text => {
    const [low, high, log] = text.split(',').map(Number);
    return share => log ? low * Math.pow(high / low, share) : low + (high - low) * share;
  };
  // The drawing holds the numbers: lines are "Mx yLx y", bars "Mx yhwVy".
  const pieces = path => path.getAttribute('d').split('M').slice(1)
    .map(piece => piece.split('L').map(point => point.split(' ').map(Number)));
  const height = (all, at) => {
    for (const piece of all)
      for (let n = 1; n < piece.length; n++) {
        const [a, b] = [piece[n - 1], piece[n]];
        if (at >= a[0] && at <= b[0]) return b[0] > a[0] ? a[1] + (b[1] - a[1]) * (at - a[0]) / (b[0] - a[0]) : b[1];
      }
  };
  const boxes = path => [...path.getAttribute('d').matchAll(/M([\d.]+) ([\d.]+)h([\d.]+)V([\d.]+)/g)]
    .map(m => m.slice(1).map(Number));
  for (const plot of document.querySelectorAll('.plot')) {
    const area = plot.querySelector('.area'), x = axis(plot.dataset.x), y = axis(plot.dataset.y);
    const write = plot.dataset.write === 'duration' ? span : plain;
    const lines = [...plot.querySelectorAll('.line')].map(path => [path, pieces(path)]);
    const bars = [...plot.querySelectorAll('.bar')].map(path => [path, boxes(path)]);
    const cursor = document.createElement('div'), tip = document.createElement('div');
    cursor.className = 'cursor';
    tip.className = 'tip';
    const hide = () => { cursor.remove(); tip.remove(); };
    area.addEventListener('pointerleave', hide);
    area.addEventListener('pointermove', event => {
      const box = area.getBoundingClientRect(), share = (event.clientX - box.left) / box.width, at = share * 1000;
      if (share < 0 || share > 1) return hide();
      const head = document.createElement('b');
      head.textContent = span(x(share)) + (plot.dataset.over === 'time' ? clock(x(share)) : '');
      const rows = [head];
      const add = (path, text) => {
        const row = document.createElement('div'), dot = document.createElement('i');
        const style = getComputedStyle(path);
        dot.style.background = style.stroke === 'none' ? style.fill : style.stroke;
        row.append(dot, text);
        rows.push(row);
      };
      for (const [path, all] of lines) {
        const found = height(all, at);
        if (found !== undefined) add(path, `${path.dataset.label}: ${write(y(1 - found / 400))}`);
      }
      for (const [path, all] of bars) {
        const hit = all.find(b => at >= b[0] - 1 && at <= b[0] + b[2] + 1);
        if (hit) add(path, `${path.dataset.label.replace(/ [\d,]+$/, '')}: ${write(y((hit[3] - hit[1]) / 400))}`);
      }
      tip.replaceChildren(...rows);
      cursor.style.left = `${share * 100}%`;
      area.append(cursor, tip);
      const left = Math.min(Math.max(share * box.width + 12, 0), box.width - tip.offsetWidth);
      const flipped = share * box.width - tip.offsetWidth - 12;
      tip.style.left = `${share > .55 && flipped > 0 ? flipped : Math.max(left, 0)}px`;
      tip.style.top = '6px';
    });
  }
})();
