/**
 * What a Redis server did, step by step, from its append-only file: every command that changed something, in the steps that were atomic.
 *
 * So a test sees what was visible at every instant, and after a crash at any of them, without having to look in time. The server must run with
 * `appendonly yes` and must not have rewritten the file; and with `appendfsync` no or always, which write before they answer: with `everysec` the last
 * commands are in the file up to two seconds after their replies, when the disk is slow.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RedisServer } from '../../redis-server.ts';

export type JournalCommand = readonly string[];
/** Commands that took effect together. */
export type JournalStep = readonly JournalCommand[];

export function journalOf(server: RedisServer): JournalStep[] {
  // Before Redis 7 it is one file beside the others.
  const folder = existsSync(join(server.folder, 'appendonlydir')) ? join(server.folder, 'appendonlydir') : server.folder;
  const files = readdirSync(folder).filter((name) => name.endsWith('.incr.aof') || name === 'appendonly.aof');
  const [file] = files;
  if (file === undefined || files.length > 1) throw new Error(`one append-only file is wanted, got ${files.join(', ')}`);
  const steps: JournalStep[] = [];
  let open: JournalCommand[] | null = null;
  for (const command of commandsOf(readFileSync(join(folder, file)))) {
    const name = command[0]?.toUpperCase();
    if (name === 'MULTI') open = [];
    else if (name === 'EXEC') {
      if (open !== null) steps.push(open);
      open = null;
    } else if (open !== null) open.push(command);
    else steps.push([command]);
  }
  return steps;
}

function* commandsOf(bytes: Buffer): Generator<string[]> {
  let at = 0;
  const line = (): string => {
    const end = bytes.indexOf('\r\n', at);
    const text = bytes.toString('latin1', at, end);
    at = end + 2;
    return text;
  };
  while (at < bytes.length) {
    const head = line();
    if (head.startsWith('#')) continue;
    if (!head.startsWith('*')) throw new Error(`not an append-only file: ${head}`);
    const command: string[] = [];
    for (let left = Number(head.slice(1)); left > 0; left--) {
      const length = Number(line().slice(1));
      command.push(bytes.toString('utf8', at, at + length));
      at += length + 2;
    }
    yield command;
  }
}

export interface Balance {
  /** Ids of tasks whose result and acknowledgement came in one step. */
  readonly together: Set<string>;
  /** What was in a step of its own: `ack id`, `result id`. */
  readonly alone: string[];
}

/** Which final results and acknowledgements came in one step. `idOf` reads the task's id out of an entry of `unacked`. */
export function balance(steps: readonly JournalStep[], idOf: (entry: string) => string): Balance {
  const ids = new Map<string, string>();
  const together = new Set<string>();
  const alone: string[] = [];
  for (const step of steps) {
    const acknowledged = new Set<string>();
    const stored = new Set<string>();
    for (const [command, key, ...rest] of step) {
      const name = command?.toUpperCase();
      if (name === 'HSET' && key === 'unacked')
        for (let at = 0; at < rest.length; at += 2) ids.set(rest[at] ?? '', idOf(rest[at + 1] ?? ''));
      if (name === 'HDEL' && key === 'unacked') for (const tag of rest) acknowledged.add(ids.get(tag) ?? `tag ${tag}`);
      if (name === 'SET' && key?.startsWith('celery-task-meta-') === true) stored.add(key.slice('celery-task-meta-'.length));
    }
    for (const id of acknowledged) {
      if (stored.has(id)) together.add(id);
      else alone.push(`ack ${id}`);
    }
    for (const id of stored) if (!acknowledged.has(id)) alone.push(`result ${id}`);
  }
  return { together, alone };
}

export interface PartBalance {
  /** Ids of parts whose result, count and acknowledgement came in one step. */
  readonly together: Set<string>;
  /** Of those that completed a chord: result and count in one step, the acknowledgement in a later one. */
  readonly completing: Set<string>;
  /** Everything else, as `what id`. */
  readonly alone: string[];
}

/** The same for tasks that are parts of chords, whose ids begin with `prefix`. */
export function partBalance(steps: readonly JournalStep[], idOf: (entry: string) => string, prefix: string): PartBalance {
  const ids = new Map<string, string>();
  const together = new Set<string>();
  const completing = new Set<string>();
  const alone: string[] = [];
  const open = new Set<string>();
  const isPart = (id: string | undefined): id is string => id?.startsWith(prefix) === true;
  for (const step of steps) {
    const seen = { result: new Set<string>(), count: new Set<string>(), ack: new Set<string>(), claim: new Set<string>() };
    for (const [command, key = '', ...rest] of step) {
      const name = command?.toUpperCase();
      if (name === 'HSET' && key === 'unacked')
        for (let at = 0; at < rest.length; at += 2) ids.set(rest[at] ?? '', idOf(rest[at + 1] ?? ''));
      if (name === 'HDEL' && key === 'unacked') for (const tag of rest) seen.ack.add(ids.get(tag) ?? `${prefix}?${tag}`);
      if (name === 'SET' && key.startsWith('celery-task-meta-')) seen.result.add(key.slice('celery-task-meta-'.length));
      if (name === 'ZADD' && key.endsWith('.j')) seen.count.add(String(JSON.parse(rest[1] ?? '')[1]));
      if (name === 'SET' && key.endsWith('.umbel-claim')) seen.claim.add(rest[0] ?? '');
    }
    for (const id of new Set([...seen.result, ...seen.count, ...seen.ack, ...seen.claim])) {
      if (!isPart(id)) continue;
      const what = (['result', 'count', 'ack', 'claim'] as const).filter((one) => seen[one].has(id)).join(' ');
      if (what === 'result count ack') together.add(id);
      else if (what === 'result count claim') open.add(id);
      else if (what === 'ack' && open.delete(id)) completing.add(id);
      // Completed once more, by the same part.
      else if (what !== 'claim' || !open.has(id)) alone.push(`${what} ${id}`);
    }
  }
  for (const id of open) alone.push(`never acknowledged ${id}`);
  return { together, completing, alone };
}
