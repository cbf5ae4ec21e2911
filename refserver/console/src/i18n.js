// The languages of the console, and how times are said.
import en from './en.js';
import zh from './zh.js';

const dictionaries = {en, zh};
const kept = () => { try { return localStorage.getItem('appspan-language'); } catch { return null; } };
let language = kept() || (navigator.language.startsWith('zh') ? 'zh' : 'en');
if (!dictionaries[language]) language = 'en';
const say = () => { document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'; };
say();

export const lang = () => language;
export function speak(next) {
  language = next;
  say();
  try { localStorage.setItem('appspan-language', next); } catch { /* not remembered */ }
}
export function t(key, values = {}) {
  return (dictionaries[language][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}
// known is a word of the API in the language of the reader, or as it is.
export const known = (kind, word) => dictionaries[language][`${kind}.${word}`] ?? word;

export function ago(time, now = Date.now()) {
  if (!time) return t('never');
  const seconds = Math.round((new Date(time) - now) / 1000);
  const form = new Intl.RelativeTimeFormat(language, {numeric: 'auto'});
  for (const [unit, size] of [['day', 86400], ['hour', 3600], ['minute', 60]]) if (Math.abs(seconds) >= size) return form.format(Math.trunc(seconds / size), unit);
  return form.format(Math.min(seconds, 0), 'second');
}
export const stamp = (time) => time ? new Date(time).toLocaleString(language === 'zh' ? 'zh-CN' : 'en') : '';
