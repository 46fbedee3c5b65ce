/** Tasks that never end by themselves, each stuck in its own way. Each first writes down when it has begun. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, openSync } from 'node:fs';

const begin = (shape: string, starts: string): void => appendFileSync(starts, `${shape} ${Date.now()}\n`);

export function loop(starts: string): void {
  begin('loop', starts);
  for (;;);
}

export function regex(starts: string): boolean {
  begin('regex', starts);
  return /^(a+)+$/.test(`${'a'.repeat(64)}b`);
}

export function exec(starts: string): void {
  begin('exec', starts);
  execFileSync('sleep', ['1000']);
}

export function fifo(starts: string, path: string): void {
  begin('fifo', starts);
  openSync(path, 'r');
}

export function atomics(starts: string): void {
  begin('atomics', starts);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

export async function waiting(starts: string): Promise<void> {
  begin('waiting', starts);
  await new Promise(() => {});
}

/** The load beside them. */
export function noop(): void {}
