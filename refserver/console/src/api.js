// The API as the console uses it, and the one stream of events.
import {useEffect, useRef, useState} from 'preact/hooks';

export const base = document.querySelector('meta[name=appspan-base]').content;
const api = base + '/api/v1';
let team = '';
export const actingFor = () => team;
export function actFor(name) { team = name; }

// Problem is an error as the server tells it.
export class Problem extends Error {
  constructor(body) { super(body.detail || body.title); Object.assign(this, body); }
}

export async function request(method, path, body, headers = {}) {
  const sent = {Accept: 'application/json', ...headers};
  if (team) sent['Appspan-Team'] = team;
  if (body !== undefined) sent['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(api + path, {method, headers: sent, credentials: 'same-origin', body: body === undefined ? undefined : JSON.stringify(body)});
  } catch {
    throw new Problem({status: 0, offline: true});
  }
  const text = await answer.text();
  let value = null;
  let read = true;
  try { value = text ? JSON.parse(text) : null; } catch { value = {}; read = false; }
  if (answer.ok && !read) throw new Problem({title: answer.headers.get('Content-Type') || '?', status: answer.status, strange: true});
  if (answer.ok) {
    if (value && typeof value === 'object') Object.defineProperty(value, 'etag', {value: answer.headers.get('ETag'), enumerable: false});
    return value;
  }
  if (answer.status === 401) window.dispatchEvent(new Event('appspan-login'));
  throw new Problem({title: answer.statusText, status: answer.status, instance: answer.headers.get('X-Request-Id'), ...value});
}

export const get = (path) => request('GET', path);
// send carries a key of its own, so that what is sent twice is done once.
export const send = (method, path, body) => request(method, path, body, method === 'POST' ? {'Idempotency-Key': crypto.getRandomValues(new Uint32Array(4)).join('-')} : {});

export function query(values) {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(values)) for (const one of [].concat(v)) if (one !== '' && one != null && one !== false) q.append(k, one);
  return String(q) ? '?' + q : ''; // q.size is not everywhere yet
}
export const appPath = (a) => `/applications/${encodeURIComponent(a.namespace)}/${encodeURIComponent(a.application)}`;
// stream is an EventSource that ends with the page: browsers keep few connections
// to one server, and pages that one has left.
const open = new Set();
export function stream(path) {
  const source = new EventSource(api + path + (team ? (path.includes('?') ? '&' : '?') + 'team=' + encodeURIComponent(team) : ''));
  open.add(source);
  return source;
}
export function end(source) { source?.close(); open.delete(source); }
window.addEventListener('pagehide', () => open.forEach(end));
window.addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });

// listen hears of what happens: kinds are those of the stream, and "resync".
const listeners = new Set();
let source = null, wanted = false, lost = false;
export function listen(hear) {
  listeners.add(hear);
  return () => listeners.delete(hear);
}
const tell = (kind, value) => { for (const hear of [...listeners]) hear(kind, value); };
export function connect() {
  wanted = true;
  end(source);
  if (document.hidden) { lost = true; return; } // it is read again when somebody looks
  const mine = source = stream('/events');
  for (const kind of ['application', 'cluster', 'operation', 'stage']) mine.addEventListener(kind, (e) => tell(kind, JSON.parse(e.data)));
  mine.addEventListener('resync', () => tell('resync', {}));
  mine.onopen = () => { tell('link', true); if (lost) tell('resync', {}); lost = false; };
  mine.onerror = () => {
    lost = true;
    tell('link', false);
    if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (wanted && mine === source) get('/me').catch(() => {}).finally(() => { if (wanted && mine === source) connect(); }); }, 5000); // who is not logged in any more is led there
  };
}
export function disconnect() { wanted = false; end(source); source = null; }
document.addEventListener('visibilitychange', () => {
  if (!wanted) return;
  if (document.hidden) { end(source); source = null; lost = true; } else connect();
});

// useData is what a path gives, read again when an event says that it changed.
export function useData(path, kinds = [], concerns = () => true) {
  const [state, set] = useState({});
  const about = useRef(concerns);
  about.current = concerns;
  const again = useRef(() => {});
  useEffect(() => {
    if (!path) return;
    let gone = false, timer = 0, busy = false, wanted = false;
    const read = async () => {
      if (busy) { wanted = true; return; }
      busy = true;
      try {
        const value = await get(path);
        if (!gone) set({value, path});
      } catch (error) {
        if (!gone) set((old) => ({value: old.path === path ? old.value : undefined, error, path}));
      }
      busy = false;
      if (wanted && !gone) { wanted = false; soon(); }
    };
    const soon = () => { if (!timer) timer = setTimeout(() => { timer = 0; read(); }, 400); };
    again.current = read;
    read();
    const stop = listen((kind, value) => { if (kind === 'resync' || kinds.includes(kind) && about.current(value, kind)) soon(); });
    return () => { gone = true; clearTimeout(timer); stop(); };
  }, [path]);
  const current = state.path === path;
  return {value: current ? state.value : undefined, error: current ? state.error : undefined, loading: !current, again: () => again.current()};
}
