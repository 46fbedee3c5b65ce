/**
 * Commands for one write, and their replies: what ioredis calls a pipeline, with as little as possible for each command.
 *
 * A pipeline of ioredis makes a promise, four closures and three arrays for each command; on the way of every task that was a tenth of a
 * round trip. Here a command is its name and its place in the batch. ioredis keeps the order of replies, reads them, and knows when the
 * connection is gone; that it may be handed commands of one's own is its `sendCommand`.
 */
import type { Command, Redis } from 'ioredis';
import type { RedisCommand } from './redis-script.ts';

/** Replies in the order of the commands, texts as strings; an Error for an error reply and for a connection that broke before it. */
export type BatchReplies = readonly unknown[];

/** All in one write. `onReplies` is called once, never before this returns; also for no commands at all, which have no replies to wait for. */
export function sendBatch(client: Redis, commands: readonly RedisCommand[], onReplies: (replies: BatchReplies) => void): void {
  const batch = new Batch(commands.length, onReplies);
  const sink = { isPipeline: true, destination: { redis: client }, write: () => true } as const;
  let text = '';
  let parts: (string | Buffer)[] | null = null;
  for (const [at, command] of commands.entries()) {
    const member: unknown = new BatchMember(command[0], batch, at);
    client.sendCommand(member as Command, sink);
    text += `*${command.length}\r\n`;
    for (const argument of command) {
      if (typeof argument === 'object') {
        parts ??= [];
        parts.push(`${text}$${argument.length}\r\n`, argument);
        text = '\r\n';
      } else {
        const word = typeof argument === 'string' ? argument : String(argument);
        text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
      }
    }
  }
  // Refused by ioredis, all of them: the connection is no longer open, and each has been told.
  if (batch.refused || commands.length === 0) queueMicrotask(() => batch.end());
  else {
    batch.sent = true;
    client.stream.write(parts === null ? text : Buffer.concat([...parts, text].map((part) => Buffer.from(part))));
  }
}

class Batch {
  readonly #replies: unknown[];
  readonly #onReplies: (replies: BatchReplies) => void;
  #missing: number;
  sent = false;
  refused = false;

  constructor(count: number, onReplies: (replies: BatchReplies) => void) {
    this.#replies = new Array<unknown>(count);
    this.#missing = count;
    this.#onReplies = onReplies;
  }

  settle(at: number, reply: unknown): void {
    this.#replies[at] = reply;
    this.#missing--;
    if (!this.sent) this.refused = true;
    else if (this.#missing === 0) this.end();
  }

  end(): void {
    this.#onReplies(this.#replies);
  }
}

/** What ioredis asks of a command. */
class BatchMember {
  readonly name: string;
  readonly args: readonly never[] = [];
  /** Nothing here is to be traced. */
  readonly isTraced = true;
  readonly #batch: Batch;
  readonly #at: number;

  constructor(name: string, batch: Batch, at: number) {
    this.name = name;
    this.#batch = batch;
    this.#at = at;
  }

  setReplyContext(): void {}

  toWritable(): string {
    return '';
  }

  resolve(reply: unknown): void {
    this.#batch.settle(this.#at, withTexts(reply));
  }

  reject(error: Error): void {
    this.#batch.settle(this.#at, error);
  }
}

function withTexts(reply: unknown): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('utf8');
  if (!Array.isArray(reply)) return reply;
  for (let at = 0; at < reply.length; at++) reply[at] = withTexts(reply[at]);
  return reply;
}
