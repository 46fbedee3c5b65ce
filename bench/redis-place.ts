/**
 * Where the Redis part of the benchmark takes place: a private server, a connection that looks on, and what a run costs.
 *
 * The looking on costs two commands every few milliseconds; they are counted with the others.
 */
import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { RedisServer } from '../test/redis-server.ts';

/** CPU seconds since the start of each process, and commands, those inside scripts included. */
export interface Cost {
  readonly parentSeconds: number;
  readonly childrenSeconds: number;
  readonly redisSeconds: number;
  readonly commands: number;
}

export class RedisPlace {
  readonly server: RedisServer;
  readonly client: Redis;
  readonly #teardowns: (() => unknown)[];

  private constructor(server: RedisServer, client: Redis, teardowns: (() => unknown)[]) {
    this.server = server;
    this.client = client;
    this.#teardowns = teardowns;
  }

  static async open(): Promise<RedisPlace> {
    const teardowns: (() => unknown)[] = [];
    const server = await RedisServer.start({ teardown: (handler: () => unknown) => void teardowns.push(handler) });
    return new RedisPlace(server, new Redis(server.port, server.host), teardowns);
  }

  async close(): Promise<void> {
    this.client.disconnect();
    for (const teardown of this.#teardowns) await teardown();
  }

  url(db = 0): string {
    return this.server.url(db);
  }

  async cost(parentPid: number): Promise<Cost> {
    const children = readFileSync(`/proc/${parentPid}/task/${parentPid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    const stats = await this.client.info('commandstats');
    let commands = 0;
    for (const [, calls] of stats.matchAll(/:calls=(\d+)/g)) commands += Number(calls);
    return {
      parentSeconds: cpuSeconds(parentPid),
      childrenSeconds: children.map(cpuSeconds).reduce((sum, one) => sum + one, 0),
      redisSeconds: cpuSeconds(this.server.pid),
      commands,
    };
  }
}

/** Linux counts in hundredths of a second. */
const ticksPerSecond = 100;

function cpuSeconds(pid: number): number {
  // Behind the name, which may hold anything: state is the third field, utime the 14th, stime the 15th.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

export function costBetween(before: Cost, after: Cost): Cost {
  return {
    parentSeconds: after.parentSeconds - before.parentSeconds,
    childrenSeconds: after.childrenSeconds - before.childrenSeconds,
    redisSeconds: after.redisSeconds - before.redisSeconds,
    commands: after.commands - before.commands,
  };
}

/** Microseconds of parent, children and server, and commands, for one task. */
export function describeCost({ parentSeconds, childrenSeconds, redisSeconds, commands }: Cost, tasks: number): string {
  const us = (seconds: number): string => ((seconds / tasks) * 1e6).toFixed(0);
  const each = commands / tasks;
  return `CPU µs ${us(parentSeconds)} + ${us(childrenSeconds)}, Redis ${us(redisSeconds)}, ${each.toFixed(each < 10 ? 2 : 0)} cmd`;
}
