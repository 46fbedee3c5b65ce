import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { findOptionalParameters } from '../../src/task/optional-parameters.ts';
import { parseParameters } from '../../src/task/parameters.ts';
import type { TaskFunction } from '../../src/task/registry.ts';

const source = `
interface Täg { 'größe 漢 😀'?: string }
export function send(to: string, cc?: string[], subject : Täg = {}, note /* ? */ ?: string): number { return 1 }
export const bound = async (context: unknown, x : number, y ?: number) => [context, x, y];
export const plain = (a: number, b: { c?: number }) => [a, b];
`;

t.test('the mark is read from the original source', async (t) => {
  const dir = t.testdir({ 'tasks.ts': source, 'other.ts': 'export const x = 1;', 'broken.ts': 'const = ;', 'some.mjs': source });
  const file = join(dir, 'tasks.ts');
  const module = (await import(pathToFileURL(file).href)) as Record<string, TaskFunction>;
  const optional = (name: string, files = [file], skip = 0) => [
    ...findOptionalParameters(module[name]!, parseParameters(module[name]!)!.slice(skip), files),
  ];
  t.same(optional('send'), [1, 3]);
  t.same(optional('bound'), [2]);
  t.same(optional('bound', [file], 1), [1], 'counted among the parameters asked about');
  t.same(optional('plain'), []);
  t.same(optional('send', [join(dir, 'gone.ts'), join(dir, 'broken.ts'), join(dir, 'other.ts'), file]), [1, 3]);
  t.same(optional('send', [join(dir, 'some.mjs')]), [], 'only TypeScript has marks');
});
