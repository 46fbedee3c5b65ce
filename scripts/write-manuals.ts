/**
 * Writes manual pages and completions: `node scripts/write-manuals.ts [folder]`, default dist/manual.
 *
 * They are made at the time of packaging and not committed, so they cannot be older than the program they come with.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { version } from '../src/std/version.ts';
import { commandWords } from './command-words.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completions.ts';
import { manualPages } from './manual-pages.ts';
import { sourceUnixSeconds } from './source-time.ts';

const output = resolve(process.argv[2] ?? join(import.meta.dirname, '../dist/manual'));
const date = new Date(sourceUnixSeconds() * 1000).toISOString().slice(0, 10);
const commands = await commandWords();
const files = new Map([
  ...[...manualPages(commands, { version: version(), date })].map(([name, text]) => [`man1/${name}`, text] as const),
  ['completion/umbel.bash', bashCompletion(commands)],
  ['completion/_umbel', zshCompletion(commands)],
  ['completion/umbel.fish', fishCompletion(commands)],
]);
rmSync(output, { recursive: true, force: true });
for (const [name, text] of files) {
  mkdirSync(dirname(join(output, name)), { recursive: true });
  writeFileSync(join(output, name), text);
}
