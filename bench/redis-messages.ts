/**
 * Messages of the benchmark, in Celery's wire format: two published by real Python Celery, all others the same bytes with another
 * task id, delivery tag and argument. The second one proves that they are: made from the first, it must come out byte by byte.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { peerFolder, python } from './noop-workers.ts';

const pushAtOnce = 1000;

export class MessageMould {
  readonly #make: (number: number, taskId: string, deliveryTag: string) => string;

  private constructor(make: (number: number, taskId: string, deliveryTag: string) => string) {
    this.#make = make;
  }

  /** The queue `celery` must be empty, and is so afterwards. */
  static async take(client: Redis, url: string): Promise<MessageMould> {
    const env = { ...process.env, UMBEL_BENCH_BROKER: url, PYTHONDONTWRITEBYTECODE: '1' };
    const output = execFileSync(python, [join(peerFolder, 'noop_peer.py'), 'sample'], { env, encoding: 'utf8' });
    const [first, second] = JSON.parse(output) as { number: number; id: string }[];
    const [secondText, firstText] = await client.lrange('celery', 0, -1);
    await client.del('celery');
    if (first === undefined || second === undefined || firstText === undefined || secondText === undefined) {
      throw new Error(`Python must have published two messages, got ${output}`);
    }
    const make = (number: number, taskId: string, deliveryTag: string): string => {
      const body = Buffer.from(bodyOf(firstText), 'base64').toString().replace(`[${first.number}]`, `[${number}]`);
      return firstText
        .replace(bodyOf(firstText), Buffer.from(body).toString('base64'))
        .replace(`"argsrepr": "(${first.number},)"`, `"argsrepr": "(${number},)"`)
        .replaceAll(first.id, taskId)
        .replace(tagOf(firstText), deliveryTag);
    };
    // The process and its reply address are the client's, and the same in both.
    if (make(second.number, second.id, tagOf(secondText)) !== secondText) {
      throw new Error(`a message made after one of Python's must equal Python's own: ${secondText}`);
    }
    return new MessageMould(make);
  }

  /** Messages with the arguments `from` … `from + tasks - 1`, in this order. */
  async fill(client: Redis, list: string, from: number, tasks: number): Promise<void> {
    for (let at = from; at < from + tasks; at += pushAtOnce) {
      const texts: string[] = [];
      for (let number = at; number < Math.min(at + pushAtOnce, from + tasks); number += 1)
        texts.push(this.#make(number, randomUUID(), randomUUID()));
      await client.lpush(list, ...texts);
    }
  }
}

function bodyOf(text: string): string {
  return /"body": "([^"]*)"/.exec(text)?.[1] ?? '';
}

function tagOf(text: string): string {
  return /"delivery_tag": "([^"]*)"/.exec(text)?.[1] ?? '';
}
