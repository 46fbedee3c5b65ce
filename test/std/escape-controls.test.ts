import t from 'tap';
import { escapeControls } from '../../src/std/escape-controls.ts';

t.test("control characters are shown as Python's repr() shows them", async (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['tasks.add', 'tasks.add'],
    ["täsks.€ 🐍 'x' \\n", "täsks.€ 🐍 'x' \\n"],
    ['a\nb\r\tc', 'a\\nb\\r\\tc'],
    ['\x00\x1b[31m\x7f\x9b', '\\x00\\x1b[31m\\x7f\\x9b'],
    ['a\u2028b\u2029c\u202ed', 'a\\u2028b\\u2029c\\u202ed'],
  ];
  for (const [text, shown] of rows) t.equal(escapeControls(text), shown);
});
