// Builds dist from src: one script, one stylesheet, and the page that names them.
import {build} from 'esbuild';
import {readFileSync, writeFileSync, rmSync} from 'node:fs';
import {basename} from 'node:path';

rmSync('dist', {recursive: true, force: true});
const made = await build({
  entryPoints: ['src/main.js', 'src/style.css'], outdir: 'dist/assets', entryNames: '[name]-[hash]',
  bundle: true, minify: true, format: 'esm', target: 'es2022', metafile: true, legalComments: 'none',
});
const names = Object.keys(made.metafile.outputs).map((p) => basename(p));
const page = readFileSync('src/index.html', 'utf8')
  .replace('{{script}}', names.find((n) => n.endsWith('.js')))
  .replace('{{style}}', names.find((n) => n.endsWith('.css')));
writeFileSync('dist/index.html', page);
