/** The executable, alone in an empty folder with one task module of each kind, does the round trip. */
import t from 'tap';
import { LiveFolder } from './live-folder.ts';

interface Kind {
  readonly title: string;
  readonly file: string;
  readonly text: string;
}

const kinds: readonly Kind[] = [
  { title: '.ts, ES module with types', file: 'tasks.ts', text: 'export function add(x: number, y: number): number { return x + y; }\n' },
  {
    title: ".ts, import from 'umbel'",
    file: 'tasks.ts',
    text: "import { task } from 'umbel';\nexport const add = task({}, async (x: number, y: number) => x + y);\n",
  },
  {
    title: '.ts, CommonJS with require',
    file: 'tasks.ts',
    text: "const { task } = require('umbel');\nmodule.exports = { add: task({}, (x: number, y: number) => x + y) };\n",
  },
  {
    title: '.mts, top-level await',
    file: 'tasks.mts',
    text: "import { setTimeout } from 'node:timers/promises';\nawait setTimeout(1);\nimport { task } from 'umbel';\nexport const add = task({}, (x: number, y: number): number => x + y);\n",
  },
  {
    title: '.js, ES module',
    file: 'tasks.js',
    text: "import { task } from 'umbel';\nexport const add = task({}, (x, y) => x + y);\n",
  },
  {
    title: '.js, CommonJS',
    file: 'tasks.js',
    text: "const { task, currentTask } = require('umbel');\nexports.add = task({}, (x, y) => { if (currentTask() === undefined) throw new Error('no context'); return x + y; });\n",
  },
  {
    title: '.js, top-level await',
    file: 'tasks.js',
    text: 'const one = await Promise.resolve(1);\nexport const add = (x, y) => (x + y) * one;\n',
  },
  {
    title: '.mjs, top-level await',
    file: 'tasks.mjs',
    text: "const { task } = await import('umbel');\nexport const add = task({}, (x, y) => x + y);\n",
  },
  {
    title: '.cjs',
    file: 'tasks.cjs',
    text: "const { task } = require('umbel');\nexports.add = task({ bind: true }, (self, x, y) => x + y);\n",
  },
];

for (const { title, file, text } of kinds) {
  void t.test(`${title}: umbel call tasks.add --args '[2, 2]' --wait prints 4`, async (t) => {
    const folder = new LiveFolder(t);
    folder.write(file, text);
    const worker = await folder.worker(['-A', file, '-c', '1']).ready();
    const called = await folder.umbel(['call', 'tasks.add', '--args', '[2, 2]', '--wait']);
    t.strictSame(called, { status: 0, signal: null, stdout: '4\n', stderr: '' });
    t.strictSame(await worker.stop(), { code: 0, signal: null });
  });
}
