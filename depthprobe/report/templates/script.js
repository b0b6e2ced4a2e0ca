"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes, parent, text) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  };

  // Tables: a header button sorts by the raw value of its column; undefined values stay last.
  const compare = (a, b, sign) => {
    const x = a === "" ? NaN : Number(a), y = b === "" ? NaN : Number(b);
    const isNan = (text, n) => text === "nan" || text === "";
    if (isNan(a, x) || isNan(b, y)) return isNan(a, x) - isNan(b, y);
    return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
  };
  for (const table of document.querySelectorAll("table.data")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(a.cells[column].dataset.key, b.cells[column].dataset.key, up ? 1 : -1));
      table.tBodies[0].append(...rows);
    }));
  }

  // Tables: copied as tab-separated text, as they are sorted.
  const copy = async (table) => {
    const text = [...table.rows].map((row) => [...row.cells].map((c) => c.innerText.trim()).join("\t")).join("\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.body.appendChild(document.createElement("textarea"));
      area.value = text;
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copy(button.closest(".card").querySelector("table"));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // Figures: the values of points under the pointer; with the keyboard, arrow keys walk from point to point.
  const tip = document.querySelector(".tip");
  let marked = null;
  const hide = () => {
    if (marked) marked.classList.remove("on");
    marked = null;
    tip.hidden = true;
  };
  const show = (point) => {
    hide();
    marked = point;
    point.classList.add("on");
    tip.textContent = point.dataset.tip;
    tip.hidden = false;
    const box = point.getBoundingClientRect(), root = document.documentElement;
    const left = Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, root.clientWidth - tip.offsetWidth - 6);
    tip.style.left = `${Math.max(6, left) + scrollX}px`;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.top = `${(above > 0 ? above : box.bottom + 8) + scrollY}px`;
  };
  const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const figure of document.querySelectorAll("svg.tips")) {
    const points = [...figure.querySelectorAll("[data-tip]")];
    figure.addEventListener("pointerover", (event) => {
      const point = event.target.closest("[data-tip]");
      if (point) show(point);
    });
    figure.addEventListener("pointerleave", hide);
    figure.addEventListener("focus", () => { if (points.length && figure.matches(":focus-visible")) show(points[0]); });
    figure.addEventListener("blur", hide);
    figure.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { hide(); return; }
      if (!points.length || !(event.key in STEPS || event.key === "Home" || event.key === "End")) return;
      event.preventDefault();
      const next = points.indexOf(marked) + STEPS[event.key];
      const at = event.key === "Home" ? 0 : event.key === "End" ? points.length - 1 : next;
      show(points[Math.min(Math.max(at, 0), points.length - 1)]);
    });
  }

  // The sliders, one per plan.
  const slide = (box) => {
    const data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
    const part = (name) => box.querySelector(`[data-part="${name}"]`);
    const control = (name) => box.querySelector(`[data-control="${name}"]`);
    const fixed = (value) => value === null || value === undefined ? "undefined" : Number(value.toPrecision(3)).toString();
    const percent = (budget) => `${fixed(100 * budget)} % of the pixels`;
    const fillSelect = (name, values) => {
      for (const value of values) control(name).add(new Option(value === "" ? "none" : value, value));
      control(name).closest("label").hidden = values.length < 2 && values[0] === "";
    };
    fillSelect("sample", data.samples.map((s) => s.id));
    fillSelect("selector", data.selectors);
    fillSelect("fill", data.fills);
    control("budget").max = data.budgets.length - 1;
    const middle = data.budgets.findIndex((b) => b >= 0.1);
    control("budget").value = middle < 0 ? data.budgets.length - 1 : middle;

    const panels = data.models.map((model) => {
      const root = document.createElement("div");
      const title = root.appendChild(document.createElement("h4"));
      const strip = root.appendChild(document.createElement("div"));
      strip.className = "strip three";
      const cell = (tag, label) => {
        const one = strip.appendChild(document.createElement("div"));
        const node = one.appendChild(document.createElement(tag));
        one.appendChild(document.createElement("span")).textContent = label;
        return node;
      };
      part("models").appendChild(root);
      return { model, title, strip, kept: cell("canvas", "kept pixels"), pred: cell("img", "prediction"), error: cell("img", "signed error") };
    });

    const loaded = new Map();
    const load = (number) => {
      if (number === undefined) return undefined;
      if (!loaded.has(number)) {
        loaded.set(number, new Promise((resolve) => {
          const image = new Image();
          image.onload = () => resolve(image);
          image.src = data.pictures[number];
        }));
      }
      return loaded.get(number);
    };
    const pixels = (image) => {
      const canvas = document.createElement("canvas");
      canvas.width = image.naturalWidth;
      canvas.height = image.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, canvas.width, canvas.height);
    };
    const drawKept = (canvas, picture, ranks, budget) => {
      const image = pixels(picture);
      canvas.width = image.width;
      canvas.height = image.height;
      if (ranks) {
        const mask = pixels(ranks);
        for (let y = 0; y < image.height; y += 1) {
          const row = Math.floor((y + 0.5) * mask.height / image.height) * mask.width;
          for (let x = 0; x < image.width; x += 1) {
            const from = 4 * (row + Math.floor((x + 0.5) * mask.width / image.width)), to = 4 * (y * image.width + x);
            if (mask.data[from] <= budget) continue;
            const grey = (image.data[to] + image.data[to + 1] + image.data[to + 2]) / 3;
            image.data.fill(0.2 * grey + 0.8 * 128, to, to + 3);
          }
        }
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
    };

    const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];
    const unit = data.unit === "1" ? "" : ` ${data.unit}`;
    const dash = (curve, place, beside) => beside && !curve.reference ? "none" : DASHES[place % 4];
    // Which line is whose, below the curve: as many names as there are, as long as they are.
    const drawNames = (lines, beside) => part("names").replaceChildren(...lines.map((c, i) => {
      const one = document.createElement("span");
      if (beside && !c.reference) one.className = "subject";
      const line = make("svg", { viewBox: "0 0 30 8", width: 30, height: 8, "aria-hidden": "true" }, one);
      make("line", { x1: 0, x2: 30, y1: 4, y2: 4, stroke: `var(--${c.family})`, "stroke-width": 2, "stroke-dasharray": dash(c, i, beside) }, line);
      one.append(c.name);
      return one;
    }));
    // The curve beside the pictures: one line and band per model, a mark at the chosen budget.
    const drawCurve = (selector, fill, budget) => {
      const lines = (data.curves || []).filter((c) => c.selector === selector && c.fill === fill);
      const beside = lines.filter((c) => c.reference);
      part("curve").replaceChildren();
      drawNames(lines, beside.length > 0);
      if (!lines.length) return;
      const w = Math.min(560, Math.max(260, part("curve").clientWidth)), narrow = w < 480;
      const [h, left, right, top, bottom] = [230, narrow ? 44 : 58, 14, 14, 40];
      const all = lines.flatMap((c) => [...c.low, ...c.high, ...c.estimate]).filter((v) => v !== null);
      const low = Math.min(...all), high = Math.max(...all), first = Math.log(Math.min(...lines.flatMap((c) => c.budget)));
      const span = -first || 1, rise = high - low || 1;
      const x = (b) => left + (w - left - right) * (Math.log(b) - first) / span;
      const y = (v) => top + (h - top - bottom) * (1 - (v - low) / rise);
      const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${data.metric} against budget, ${selector}, fill ${fill || "none"}` }, part("curve"));
      for (const tick of [0, 0.5, 1]) {
        const v = low + tick * rise;
        make("line", { x1: left, x2: w - right, y1: y(v), y2: y(v), stroke: "var(--line)" }, svg);
        make("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, svg, fixed(v));
      }
      let room = Infinity;  // from the right, where 100 % stands, as many as have room
      for (const b of [...lines[0].budget].reverse()) {
        if (room - x(b) < (room === Infinity ? 0 : 48)) continue;
        room = x(b);
        make("text", { x: x(b), y: h - bottom + 17, "text-anchor": b === 1 ? "end" : "middle" }, svg, `${fixed(100 * b)} %`);
      }
      make("text", { x: left, y: h - 6 }, svg, `share of pixels kept (log) · ${data.metric}${unit && ` [${data.unit}]`}`);
      make("line", { x1: x(budget), x2: x(budget), y1: top, y2: h - bottom, stroke: "var(--ink)", "stroke-dasharray": "4 3" }, svg);
      if (beside.length > 1) {
        const at = beside[0].budget.map((b, k) => [b, beside.map((c) => c.estimate[k]).filter((v) => Number.isFinite(v))]).filter(([, v]) => v.length);
        const edge = (pick) => at.map(([b, v]) => `${x(b)},${y(pick(...v))}`);
        make("polygon", { points: [...edge(Math.max), ...edge(Math.min).reverse()].join(" "), fill: "var(--muted)", opacity: 0.16 }, svg);
      }
      lines.forEach((c, i) => {
        const colour = `var(--${c.family})`, wide = c.reference ? 1 : 2.4;
        const known = c.budget.map((_, k) => k).filter((k) => c.estimate[k] !== null);
        const forth = known.map((k) => `${x(c.budget[k])},${y(c.high[k] ?? c.estimate[k])}`);
        const back = known.map((k) => `${x(c.budget[k])},${y(c.low[k] ?? c.estimate[k])}`).reverse();
        if (!c.reference) make("polygon", { points: [...forth, ...back].join(" "), fill: colour, opacity: 0.2 }, svg);
        const middle = known.map((k) => `${x(c.budget[k])},${y(c.estimate[k])}`).join(" ");
        make("polyline", { points: middle, fill: "none", stroke: colour, "stroke-width": wide, "stroke-dasharray": dash(c, i, beside.length) }, svg);
      });
    };

    let turn = 0;
    const update = async () => {
      const mine = turn += 1;
      const [name, selector, fill] = ["sample", "selector", "fill"].map((n) => control(n).value);
      const position = Number(control("budget").value), budget = data.budgets[position];
      const sample = data.samples.find((s) => s.id === name);
      part("budget").textContent = percent(budget);
      control("budget").setAttribute("aria-valuetext", percent(budget));
      part("image").src = data.pictures[sample.image];
      part("truth").src = data.pictures[sample.truth];
      part("near").textContent = `near ${fixed(sample.near)} m`;
      part("far").textContent = `far ${fixed(sample.far)} m`;
      part("minus").textContent = `too near −${fixed(sample.half)} m`;
      part("plus").textContent = `too far +${fixed(sample.half)} m`;
      drawCurve(selector, fill, budget);
      const said = [];
      for (const panel of panels) {
        const key = (f) => [name, panel.model, selector, f, position].join("|");
        const frame = data.frames[key(fill)] || (budget === 1 && data.frames[key("")]);
        panel.strip.hidden = !frame;
        const value = frame ? `${data.metric} ${fixed(frame[2])}${unit}` : "not stored for this setting";
        panel.title.textContent = `\u2068${panel.model}\u2069: ${value}`;
        said.push(`\u2068${panel.model}\u2069 ${value}`);
        if (!frame) continue;
        panel.pred.src = data.pictures[frame[0]];
        panel.pred.alt = `Prediction of ${panel.model} from ${percent(budget)}`;
        panel.error.src = data.pictures[frame[1]];
        panel.error.alt = `Signed error of ${panel.model}; ${value}`;
        panel.kept.setAttribute("role", "img");
        panel.kept.setAttribute("aria-label", `${percent(budget)}, chosen by ${selector}`);
        const pictures = await Promise.all([sample.image, data.masks[[name, panel.model, selector].join("|")]].map(load));
        if (mine !== turn) return;  // a later setting has been chosen meanwhile
        drawKept(panel.kept, ...pictures, position);
      }
      part("status").textContent = `${percent(budget)} by ${selector}${fill ? `, fill ${fill}` : ""}: ${said.join("; ")}.`;
    };
    box.hidden = false;
    for (const name of ["sample", "selector", "fill", "budget"]) control(name).addEventListener("input", update);
    update();
  };
  document.querySelectorAll(".slider").forEach(slide);
})();
