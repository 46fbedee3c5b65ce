import t from 'tap';
import { continuationMark, TaskOutput } from '../../src/log/task-output.ts';

function linesOf(chunks: readonly Buffer[], capBytes?: number): string[] {
  const lines: string[] = [];
  const output = new TaskOutput({ onLine: (line) => lines.push(line), ...(capBytes === undefined ? {} : { capBytes }) });
  for (const chunk of chunks) output.push(chunk);
  output.flush();
  output.flush();
  return lines;
}

t.test('the same lines wherever the chunks are cut', async (t) => {
  const bytes = Buffer.from('first\nzwei ä € 😀\r\n\nlast without end');
  const expected = ['first', 'zwei ä € 😀', '', 'last without end'];
  for (let cut = 0; cut <= bytes.length; cut++) t.same(linesOf([bytes.subarray(0, cut), bytes.subarray(cut)]), expected, `cut at ${cut}`);
  t.same(linesOf([...bytes].map((byte) => Buffer.from([byte]))), expected, 'byte by byte');
});

t.test('a long line comes in pieces and loses nothing', async (t) => {
  const text = '€😀ä'.repeat(50);
  for (const size of [1, 3, 7, 64, 1000]) {
    const bytes = Buffer.from(`${text}\nnext\n`);
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    const lines = linesOf(chunks, 40);
    t.equal(lines.pop(), 'next');
    t.ok(lines.length > 5);
    t.ok(
      lines
        .slice(0, -1)
        .every((line) => line.endsWith(continuationMark) && Buffer.byteLength(line) <= 40 + Buffer.byteLength(continuationMark)),
    );
    t.equal(lines.map((line) => line.replace(continuationMark, '')).join(''), text, `chunks of ${size}`);
  }
});

t.test('bytes that are no UTF-8 cost no line', async (t) => {
  t.same(linesOf([Buffer.from([0xff, 0xfe, 0x0a, 0x61, 0x0a])]), ['\ufffd\ufffd', 'a']);
  t.equal(linesOf([Buffer.alloc(100, 0x80)], 10).length, 10);
});
