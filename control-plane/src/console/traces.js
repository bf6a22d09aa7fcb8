// Shows the latest traces as waterfalls. All text of a span goes into the page as text, never as markup.
'use strict';

const api = '/zipkin/api/v2';
const refreshEvery = 2000;
const single = /^\/zipkin\/traces\/([0-9a-f]+)$/.exec(location.pathname)?.[1];
const open = new Set();      // ids of the traces that are unfolded
const detailed = new Set();  // keys of the spans whose tags are shown
let shown = '';              // what is on the page, to leave it alone while nothing changed

const byId = (id) => document.getElementById(id);

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function colour(service) {
  let hash = 7;
  for (const letter of service) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return `hsl(${30 + ((hash * 137) % 270)} 52% 44%)`; // never red: that is for errors
}

function dot(service) {
  const made = element('span', 'dot');
  made.style.background = colour(service);
  return made;
}

function length(microseconds) {
  if (microseconds === undefined) return '';
  if (microseconds < 1000) return `${microseconds} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toFixed(microseconds < 1e4 ? 2 : 1)} ms`;
  return `${(microseconds / 1e6).toFixed(2)} s`;
}

const service = (span) => span.localEndpoint?.serviceName ?? 'unknown';
const failed = (span) => span.tags !== undefined && 'error' in span.tags;
const keyOf = (traceId, span) => `${traceId} ${span.id} ${span.shared ?? ''} ${span.kind ?? ''} ${service(span)}`;
const byTime = (one, other) => (one.timestamp ?? Infinity) - (other.timestamp ?? Infinity);

// Spans in the order of their tree, each with its depth. The server's half of a shared span hangs below the
// client's; what has no parent here is a root.
function arrange(spans) {
  const key = (span) => (span.shared ? `${span.id} shared` : span.id);
  const known = new Set(spans.map(key));
  const children = new Map();
  const roots = [];
  for (const span of [...spans].sort(byTime)) {
    const near = `${span.parentId} shared`;
    let parent = span.parentId;
    if (span.shared) parent = span.id;
    else if (known.has(near) && spans.some((other) => key(other) === near && service(other) === service(span))) parent = near;
    if (parent === undefined || !known.has(parent)) roots.push(span);
    else children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const rows = [];
  const seen = new Set();
  const walk = (span, depth) => {
    if (seen.has(span)) return;
    seen.add(span);
    rows.push({ span, depth });
    const below = children.get(key(span)) ?? [];
    children.delete(key(span));
    for (const child of below) walk(child, depth + 1);
  };
  for (const root of roots) walk(root, 0);
  for (const span of spans) walk(span, 0);
  return rows;
}

function summary(spans) {
  const timed = spans.filter((span) => span.timestamp !== undefined);
  const start = Math.min(...timed.map((span) => span.timestamp));
  const end = Math.max(...timed.map((span) => span.timestamp + (span.duration ?? 0)));
  return { rows: arrange(spans), start, total: Math.max(end - start, 1) };
}

function details(span) {
  const table = element('table');
  const line = (name, value, isFailed) => {
    const row = element('tr', isFailed ? 'failed' : '');
    row.append(element('td', '', name), element('td', '', value));
    table.append(row);
  };
  const place = (endpoint) => {
    const address = [endpoint.ipv4 ?? endpoint.ipv6, endpoint.port].filter((part) => part !== undefined).join(':');
    return [endpoint.serviceName, address].filter(Boolean).join('  ');
  };
  for (const [name, value] of Object.entries(span.tags ?? {})) line(name, value === '' ? '(empty)' : value, name === 'error');
  for (const note of span.annotations ?? []) line(`+ ${length(Math.max(note.timestamp - (span.timestamp ?? note.timestamp), 0))}`, note.value);
  if (span.localEndpoint) line('here', place(span.localEndpoint));
  if (span.remoteEndpoint) line('there', place(span.remoteEndpoint));
  line('span', span.id + (span.shared ? ' (shared)' : ''));
  if (span.parentId) line('parent', span.parentId);
  const box = element('div', 'detail');
  box.append(table);
  return box;
}

function spanRow(traceId, { span, depth }, { start, total }) {
  const row = element('button', failed(span) ? 'row failed' : 'row');
  row.type = 'button';
  const label = element('span', 'label');
  label.style.paddingLeft = `${Math.min(depth, 16) * 14}px`;
  label.append(dot(service(span)), element('span', 'service', service(span)), element('span', 'what', span.name ?? ''));
  if (span.kind) label.append(element('span', 'side', span.kind.toLowerCase()));
  label.title = `${service(span)} ${span.name ?? ''}`;
  const track = element('span', 'track');
  if (span.timestamp !== undefined) {
    const left = ((span.timestamp - start) / total) * 100;
    const width = Math.max(((span.duration ?? 0) / total) * 100, 0);
    const bar = element('span', 'bar');
    bar.style.left = `min(${left}%, calc(100% - 3px))`;
    bar.style.width = `${width}%`;
    bar.style.background = colour(service(span));
    const text = element('span', 'length', length(span.duration));
    // Beside the bar where there is room, else on it.
    if (left + width < 88) text.style.left = `${left + width}%`;
    else if (left > 12) text.style.right = `${100 - left}%`;
    else {
      text.className = 'length inside';
      text.style.right = `${Math.max(100 - left - width, 0)}%`;
    }
    track.append(bar, text);
  }
  row.append(label, track);
  const key = keyOf(traceId, span);
  const box = element('div');
  const show = () => box.replaceChildren(...(detailed.has(key) ? [details(span)] : []));
  row.addEventListener('click', () => {
    if (!detailed.delete(key)) detailed.add(key);
    show();
  });
  show();
  const whole = element('div');
  whole.append(row, box);
  return whole;
}

function waterfall(spans, view) {
  const made = element('div', 'spans');
  const scale = element('div', 'scale');
  const ticks = element('span', 'ticks');
  for (const part of [0, 0.25, 0.5, 0.75, 1]) ticks.append(element('span', '', length(Math.round(view.total * part))));
  scale.append(element('span'), ticks);
  made.append(scale, ...view.rows.map((row) => spanRow(spans[0].traceId, row, view)));
  const foot = element('div', 'foot');
  const link = element('a', '', `trace ${spans[0].traceId}`);
  link.href = `/zipkin/traces/${spans[0].traceId}`;
  foot.append(link);
  made.append(foot);
  return made;
}

function traceCard(spans) {
  const view = summary(spans);
  const id = spans[0].traceId;
  const root = view.rows[0].span;
  const failures = spans.filter(failed).length;
  const card = element('section', failures ? 'trace failed' : 'trace');
  const head = element('button', 'head');
  head.type = 'button';
  const time = Number.isFinite(view.start) ? new Date(view.start / 1000).toLocaleTimeString([], { hour12: false }) : '';
  head.append(
    element('span', 'duration', length(Number.isFinite(view.start) ? view.total : undefined)),
    element('span', 'time', time),
    element('span', 'name', `${service(root)}: ${root.name ?? ''}`),
  );
  if (failures) head.append(element('span', 'badge', failures === 1 ? '1 error' : `${failures} errors`));
  head.append(element('span', 'count', spans.length === 1 ? '1 span' : `${spans.length} spans`));
  for (const name of [...new Set(view.rows.map((row) => service(row.span)))].slice(0, 8)) {
    const chip = element('span', 'chip', name);
    chip.prepend(dot(name));
    head.append(chip);
  }
  const body = element('div');
  const show = () => {
    head.setAttribute('aria-expanded', open.has(id));
    body.replaceChildren(...(open.has(id) ? [waterfall(spans, view)] : []));
  };
  head.addEventListener('click', () => {
    if (!open.delete(id)) open.add(id);
    show();
  });
  show();
  card.append(head, body);
  return card;
}

function say(text, isFailed) {
  byId('message').textContent = text;
  byId('message').className = isFailed ? 'failed' : '';
}

async function ask(path) {
  const answer = await fetch(api + path);
  if (!answer.ok) throw new Error(answer.headers.get('content-type')?.includes('json') ? `status ${answer.status}` : await answer.text());
  return answer.json();
}

async function load() {
  if (single) return [await ask(`/trace/${single}`)];
  const query = new URLSearchParams({ limit: byId('limit').value });
  if (byId('service').value) query.set('serviceName', byId('service').value);
  if (byId('errors').checked) query.set('annotationQuery', 'error');
  const [traces, services] = await Promise.all([ask(`/traces?${query}`), ask('/services')]);
  offer(services);
  return traces;
}

function offer(services) {
  const select = byId('service');
  const listed = [...select.options].slice(1).map((option) => option.value);
  if (listed.join('\n') === services.join('\n')) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...services.map((name) => new Option(name, name)));
  select.value = services.includes(chosen) ? chosen : '';
}

async function refresh() {
  try {
    const traces = await load();
    const text = JSON.stringify(traces);
    if (text !== shown) {
      if (shown === '' && traces.length) open.add(traces[0][0].traceId);
      if (shown === '' && single) traces[0].filter(failed).forEach((span) => detailed.add(keyOf(span.traceId, span)));
      shown = text;
      byId('traces').replaceChildren(...traces.map(traceCard));
    }
    if (single) say('One trace.');
    else if (traces.length) say(traces.length === 1 ? 'The latest trace.' : `The latest ${traces.length} traces, newest first.`);
    else say('No traces yet. Send a request through the gateway.');
  } catch (fault) {
    say(`The traces could not be loaded: ${fault.message}`, true);
  }
}

let last = 0;
async function loop() {
  const due = byId('live').checked && !document.hidden && Date.now() - last >= refreshEvery;
  if (due) {
    last = Date.now();
    await refresh();
  }
  setTimeout(loop, 250);
}

byId('search').addEventListener('change', refresh);
byId('search').addEventListener('submit', (event) => event.preventDefault());
if (single) byId('search').hidden = true;
last = Date.now();
refresh().then(loop);
