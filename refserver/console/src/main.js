// The console: one page, whose views have addresses.
import {render} from 'preact';
import {useEffect, useRef, useState} from 'preact/hooks';
import {actFor, actingFor, base, connect, disconnect, get, listen, send} from './api.js';
import {lang, speak, t} from './i18n.js';
import {Link, Loading, Trouble, embedded, go, html} from './ui.js';
import {Home} from './home.js';
import {ClusterPage, Clusters} from './clusters.js';
import {ApplicationPage, Applications} from './applications.js';
import {Account} from './account.js';
import {Deploy} from './deploy.js';
import {Recycled} from './recycled.js';
import {Environments, Stages} from './environments.js';
import {Audit, OperationPage, Operations} from './operations.js';
import {TeamPage, Teams} from './teams.js';
import {Login} from './login.js';

const views = [
  [/^\/?$/, Home, []], [/^\/clusters$/, Clusters, []], [/^\/clusters\/([^/]+)$/, ClusterPage, ['name']],
  [/^\/applications$/, Applications, []], [/^\/applications\/([^/]+)\/([^/]+)$/, ApplicationPage, ['namespace', 'name']],
  [/^\/deploy$/, Deploy, []], [/^\/environments$/, Environments, []], [/^\/environments\/([^/]+)$/, Environments, ['application']],
  [/^\/stages$/, Stages, []], [/^\/teams$/, Teams, []], [/^\/teams\/([^/]+)$/, TeamPage, ['team']],
  [/^\/operations$/, Operations, []], [/^\/operations\/([^/]+)$/, OperationPage, ['id']], [/^\/audit$/, Audit, []], [/^\/recycled$/, Recycled, []], [/^\/account$/, Account, []],
];
const menu = [['/', 'overview'], ['/applications', 'applications'], ['/deploy', 'deploy'], ['/environments', 'environments'], ['/stages', 'stages'], ['/operations', 'operations'], ['/clusters', 'clusters'], ['/teams', 'teams'], ['/audit', 'audit']];
// plain is a part of the path, also one that is no text.
const plain = (part) => { try { return decodeURIComponent(part); } catch { return part; } };
const here = () => location.pathname.slice(base.length) || '/';

function App() {
  const [place, setPlace] = useState({path: here(), search: location.search});
  const [me, setMe] = useState(null);
  const [error, fail] = useState(null);
  const [said, say] = useState('');
  const [linked, link] = useState(true);
  const [, redraw] = useState(0);
  const main = useRef();
  const login = place.path === '/login';

  const enter = async () => {
    fail(null);
    try {
      const who = await get('/me');
      if (!who.operator && !who.subject.team && who.teams?.length && !actingFor()) actFor(who.teams[0].team);
      setMe(who);
      connect();
      if (here() === '/login') {
        const to = new URLSearchParams(location.search).get('to') || '/';
        go(to.startsWith('/') && !to.startsWith('//') ? to : '/', true);
      }
    } catch (e) { if (e.status !== 401) fail(e); }
  };
  useEffect(() => {
    const moved = () => setPlace({path: here(), search: location.search});
    const out = () => { disconnect(); actFor(''); setMe(null); if (here() !== '/login') go('/login?to=' + encodeURIComponent(here() + location.search), true); };
    const hear = (e) => { say(''); setTimeout(() => say(e.detail), 50); };
    window.addEventListener('popstate', moved);
    window.addEventListener('appspan-view', moved);
    window.addEventListener('appspan-login', out);
    window.addEventListener('appspan-say', hear);
    listen((kind, value) => { if (kind === 'link') link(value); });
    if (here() !== '/login') enter();
  }, []);
  const shown = useRef(place.path);
  useEffect(() => {
    const heading = main.current?.querySelector('h1');
    document.title = (heading?.textContent?.trim() || 'Appspan') + ' · Appspan';
    if (shown.current === place.path) return; // a page that is opened keeps the focus where browsers have it
    shown.current = place.path;
    heading?.focus();
    window.scrollTo(0, 0);
  }, [place.path, me]);

  const logout = async () => {
    try { await send('DELETE', '/session'); } catch (e) { if (e.status !== 401) { fail(e); return; } }
    disconnect(); actFor(''); fail(null); setMe(null); go('/login');
  };
  let view = html`<h1 tabindex="-1">${t('nowhere')}</h1><p><${Link} to="/">${t('overview')}<//></p>`;
  if (login) view = html`<${Login} base=${base} enter=${enter} />`;
  else if (!me) view = error ? html`<${Trouble} error=${error} retry=${enter} />` : html`<h1 tabindex="-1">Appspan</h1><${Loading} />`;
  else for (const [pattern, View, names] of views) {
    const found = pattern.exec(place.path);
    if (found) { view = html`<${View} key=${place.path + actingFor() + (View === Deploy ? place.search : '')} me=${me} search=${place.search} ...${Object.fromEntries(names.map((n, i) => [n, plain(found[i + 1])]))} />`; break; }
  }
  const current = (to) => to === '/' ? place.path === '/' : place.path === to || place.path.startsWith(to + '/');
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>${t('skip')}</a>
    ${!embedded() && html`<header class="top"><${Link} to="/" class="brand">Appspan<//>
      ${me && html`<nav aria-label=${t('menu')}>${menu.map(([to, name]) => html`<${Link} to=${to} aria-current=${current(to) ? 'page' : undefined} data-test=${'nav-' + name}>${t(name)}<//>`)}</nav>`}
      <div class="who">${me?.teams?.length > 1 && html`<select aria-label=${t('team')} value=${actingFor()} data-test="act-for" onChange=${(e) => { actFor(e.target.value); connect(); redraw((n) => n + 1); }}>${me.operator && html`<option value="">${t('any')}</option>`}${me.teams.map((m) => html`<option value=${m.team}>${m.displayName || m.team}</option>`)}</select>`}
        <button class="plain" data-test="language" lang=${lang() === 'en' ? 'zh-CN' : 'en'} onClick=${() => { speak(lang() === 'en' ? 'zh' : 'en'); redraw((n) => n + 1); }}>${lang() === 'en' ? '中文' : 'English'}</button>
        ${me && html`<${Link} to="/account" data-test="me" aria-current=${current('/account') ? 'page' : undefined}>${me.subject.id}<//>`}${me && me.method !== 'local' && html`<button class="plain" onClick=${logout} data-test="logout">${t('logout')}</button>`}</div></header>`}
    <main id="main" ref=${main} tabindex="-1" key=${lang()}>${me && !linked && html`<p class="next" role="status">${t('notLive')}</p>`}${(me || login) && html`<${Trouble} error=${error} />`}${view}</main>
    <div class="hidden" role="status" aria-live="polite" data-test="said">${said}</div>`;
}
render(html`<${App} />`, document.getElementById('app'));
