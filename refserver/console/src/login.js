// Logging in with a token, or on another page.
import {useEffect, useState} from 'preact/hooks';
import {get, query, request} from './api.js';
import {t} from './i18n.js';
import {Field, Trouble, html} from './ui.js';

export function Login({base, enter}) {
  const [error, fail] = useState(null);
  const [pages, set] = useState([]);
  useEffect(() => { get('/logins').then((x) => set(x.items)).catch(() => {}); }, []);
  const submit = async (e) => {
    e.preventDefault();
    try { await request('POST', '/session', {token: new FormData(e.target).get('token').trim()}); e.target.reset(); enter(); } catch (x) { fail(x); }
  };
  const to = new URLSearchParams(location.search).get('to') || '/';
  return html`<h1 tabindex="-1">${t('login')}</h1><${Trouble} error=${error} />
    ${pages.map((p) => html`<p><a class="button primary" href=${base + (p.path.startsWith(base) ? p.path.slice(base.length) : p.path) + query({to: base + to})} data-test=${'login-' + p.name}>${p.title}</a></p>`)}
    <form onSubmit=${submit} class="card narrow"><${Field} label=${t('token')} hint=${t('tokenHint')}><input name="token" type="password" required autocomplete="current-password" data-test="login-token" /><//><button class="primary" data-test="login-submit">${t('login')}</button></form>`;
}
