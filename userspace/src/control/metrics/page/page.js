"use strict";
// Fetches status.json once a second and updates the page. All content is set as text, never as HTML.

const SECONDS = 120;
const LOST = ["transmit_full", "transmit_failed", "no_room"];
// Frames that a driver lost and that no AF_XDP socket counts.
const DRIVER_LOST = ["transmit", "transmit_bulk", "redirect_unbound", "redirect_mismatch", "redirect_other"];
const REDIRECTED = ["redirect", "redirect_no_room"];
const PLACES = ["free", "fill", "held", "transmit"];
const SVG = "http://www.w3.org/2000/svg";
const history = [];
let before = null;

const at = id => document.getElementById(id);
const sum = numbers => numbers.reduce((all, one) => all + one, 0);

/// Formats a number with three digits and k, M or G.
function brief(number) {
  if (number === null || !isFinite(number)) return "–";
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= size * 0.9995) return (number / size).toPrecision(3) + " " + unit;
  }
  return number >= 100 || Number.isInteger(number) ? number.toFixed(0) : number.toPrecision(2);
}

function ago(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [name, size] = units.find(([, size]) => seconds >= size) || units[3];
  const count = Math.floor(seconds / size);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

function cell(row, text, kind) {
  const made = row.insertCell();
  if (text instanceof Node) made.append(text); else made.textContent = text;
  if (kind) made.className = kind;
}

function fill(id, rows) {
  const body = at(id).tBodies[0];
  body.replaceChildren();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const [text, kind] of cells) cell(row, text, kind);
  }
}

/// Returns a function that computes a rate between the last two readings; null without an earlier reading.
function rates(now) {
  const seconds = before ? now.uptime - before.uptime : 0;
  // A server that restarted counts from zero.
  const old = seconds > 0 ? before : null;
  return (one, key, read) => {
    const then = old && old.places.get(key);
    return then ? Math.max(0, read(one) - read(then)) / seconds : null;
  };
}

function places(status) {
  const all = new Map();
  for (const one of status.interfaces) {
    all.set("interface " + one.name, one);
    // What the XDP program answers reaches no worker.
    const answers = one.kernel_answers;
    if (answers) all.set("answers " + one.name, { ...answers, path: "xdp", interface: one.name });
  }
  for (const one of status.workers) all.set(`worker ${one.path} ${one.interface} ${one.queue} ${one.core}`, one);
  for (const one of status.streams) all.set("stream " + one.path, one);
  all.set("process", status.process);
  return all;
}

function levels(frames) {
  const total = sum(PLACES.map(place => frames[place] || 0));
  if (!total) return "";
  const bar = document.createElementNS(SVG, "svg");
  bar.setAttribute("class", "levels");
  bar.setAttribute("viewBox", "0 0 100 1");
  bar.setAttribute("preserveAspectRatio", "none");
  const title = document.createElementNS(SVG, "title");
  title.textContent = PLACES.map(place => `${place} ${frames[place]}`).join(", ");
  bar.append(title);
  let x = 0;
  for (const place of PLACES) {
    const part = document.createElementNS(SVG, "rect");
    const width = 100 * (frames[place] || 0) / total;
    for (const [name, value] of [["class", place], ["x", x], ["y", 0], ["width", width], ["height", 1]]) {
      part.setAttribute(name, value);
    }
    bar.append(part);
    x += width;
  }
  return bar;
}

function draw() {
  const most = Math.max(1, ...history);
  const point = (value, index) => {
    const x = 600 * (SECONDS - history.length + index) / (SECONDS - 1);
    return `${x.toFixed(1)},${(148 - 140 * value / most).toFixed(1)}`;
  };
  const points = history.map(point);
  at("line").setAttribute("d", points.length > 1 ? "M" + points.join("L") : "");
  const first = points.length ? points[0].split(",")[0] : 0;
  at("area").setAttribute("d", points.length > 1 ? `M${first},150L${points.join("L")}L600,150Z` : "");
  at("top").textContent = brief(most);
}

function show(status) {
  const now = { uptime: status.uptime, places: places(status) };
  const rate = rates(now);
  const counted = [...now.places].filter(([, one]) => one.counts);
  const rateOf = read => {
    const known = counted.map(([key, one]) => rate(one, key, read)).filter(value => value !== null);
    return known.length ? sum(known) : null;
  };

  at("version").textContent = status.version;
  at("since").textContent = `up ${ago(status.uptime)} · ${status.process.threads} threads · ` +
    `${status.process.open_fds} of ${status.process.max_fds} files`;
  const replies = rateOf(one => one.counts.replies);
  at("replies").textContent = brief(replies);
  at("received").textContent = brief(rateOf(one => one.counts.received));
  const kernel = one => (one.kernel ? (one.kernel.rx_dropped || 0) + (one.kernel.rx_ring_full || 0) : 0);
  const driverLost = one => one.uncounted_losses ? one.driver_errors || 0
    : sum(DRIVER_LOST.map(kind => one.lost[kind] || 0));
  const driversLost = sum(status.interfaces.map(one => rate(one, "interface " + one.name, driverLost) || 0));
  const lostHere = rateOf(one => sum(LOST.map(name => one.counts.outcomes[name] || 0)) + kernel(one));
  const lost = lostHere === null ? null : lostHere + driversLost;
  at("lost").textContent = brief(lost);
  at("lost").className = lost > 0 ? "bad" : "";
  at("connections").textContent = status.streams.length ? brief(sum(status.streams.map(one => one.open))) : "–";
  const cpu = rate(status.process, "process", one => one.cpu_seconds);
  at("cpu").textContent = cpu === null ? "–" : cpu.toFixed(2);
  at("memory").textContent = (status.process.resident_bytes / 1048576).toFixed(0) + " MiB";
  if (replies !== null) {
    history.push(replies);
    if (history.length > SECONDS) history.shift();
    draw();
  }

  fill("interfaces", status.interfaces.map(one => {
    const key = "interface " + one.name;
    const rungs = Object.entries(one.queues).filter(([, count]) => count);
    const program = one.attached === null ? ["none", "quiet"]
      : one.attached === false ? ["not attached", "bad"]
      : one.delivering === false ? ["does not deliver", "bad"] : ["attached", ""];
    const verdicts = read => brief(one.attached === null ? null : rate(one, key, read));
    const count = names => one => sum(names.map(name => one.verdicts[name] || 0));
    const redirected = count(REDIRECTED);
    const answered = count(["answered"]);
    const answers = one.kernel_answers;
    return [
      [one.name], [one.listen.join(" ") || "those of the sockets", "quiet"],
      [rungs.map(([rung, count]) => `${count} ${rung}`).join(", ")], program,
      [answers ? `${answers.serving ? "on" : "off"}: ${answers.reason}` : "–", "quiet"],
      [verdicts(answered), "number"], [verdicts(redirected), "number"],
      [verdicts(one => sum(Object.values(one.verdicts)) - answered(one) - redirected(one)), "number"],
      one.uncounted_losses && one.driver_errors === null ? ["not counted", "quiet"]
        : [verdicts(driverLost), rate(one, key, driverLost) > 0 ? "number bad" : "number"],
    ];
  }));
  at("interfaces").hidden = !status.interfaces.length;

  const working = counted.filter(([, one]) => one.path !== "xdp" || one.serving || one.counts.received);
  fill("workers", working.map(([key, one]) => {
    const per = read => brief(rate(one, key, read));
    const stream = one.accepted !== undefined;
    const program = one.path === "xdp";
    const thread = !stream && !program;
    const batches = rate(one, key, one => one.counts.batches);
    const full = batches > 0 ? (rate(one, key, one => one.counts.received) / batches).toFixed(1) : "–";
    const where = stream ? `${one.open} open, ${one.listen.join(" ")}`
      : program ? `${one.interface}, XDP program`
      : one.queue === null ? status.sockets.join(" ") : `${one.interface}, queue ${one.queue}`;
    return [
      [one.ended ? one.path + " (ended)" : one.ticking === false ? one.path + " (hangs)" : one.path,
        one.ended || one.ticking === false ? "bad" : ""],
      [where, "quiet"], [thread ? one.core : "", "number"],
      [per(one => one.counts.received), "number"], [per(one => one.counts.replies), "number"],
      [thread ? full : "", "number"], [thread ? per(one => one.counts.wakeups) : "", "number"],
      [thread && one.queue !== null ? per(kernel) : "", "number"], [thread ? levels(one.frames) : ""],
    ];
  }));

  const outcomes = new Map();
  for (const [key, one] of counted) {
    for (const [name, count] of Object.entries(one.counts.outcomes)) {
      const [all, seconds] = outcomes.get(name) || [0, 0];
      outcomes.set(name, [all + count, seconds + (rate(one, key, one => one.counts.outcomes[name]) || 0)]);
    }
  }
  const seen = [...outcomes].filter(([, [all]]) => all).sort(([, a], [, b]) => b[1] - a[1] || b[0] - a[0]);
  fill("outcomes", seen.map(([name, [all, seconds]]) => [
    [name, LOST.includes(name) ? "bad" : ""], [before ? brief(seconds) : "–", "number"],
    [all.toLocaleString("en"), "number"],
  ]));
  if (!seen.length) fill("outcomes", [[["Nothing received yet.", "quiet"], [""], [""]]]);

  fill("stepdowns", status.step_downs.slice().reverse().map(one => [
    [ago(status.uptime - one.at) + " ago"], [one.interface], [one.from], [one.reason],
  ]));
  at("stepdowns").hidden = !status.step_downs.length;
  at("none").hidden = status.step_downs.length > 0;
  before = now;
}

function state(text, kind) {
  at("state").textContent = text;
  at("state").className = kind;
}

async function readiness() {
  const answer = await fetch("readyz");
  const lines = (await answer.text()).trim().split("\n");
  if (answer.ok) state("ready", "good");
  else if (lines[0] === "not ready: draining") state("draining", "warn");
  else state("not ready", "bad");
  const failures = answer.ok ? [] : lines.map(line => line.replace(/^not ready: /, ""));
  at("failures").replaceChildren(...failures.map(text => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  at("failures").hidden = !failures.length;
}

let readings = 0;
async function update() {
  try {
    const answer = await fetch("status.json");
    if (!answer.ok) throw new Error((await answer.text()).trim());
    show(await answer.json());
    if (readings % 5 === 0) await readiness();
    readings += 1;
    at("trouble").hidden = true;
  } catch (error) {
    readings = 0;
    state("no response", "bad");
    at("trouble").textContent = `The server does not respond: ${error.message}. Retrying.`;
    at("trouble").hidden = false;
  }
  setTimeout(update, 1000);
}
update();
