/**
 * Where the Redis part of the benchmark takes place: a private server, a connection that looks on, and what a run costs.
 *
 * The looking on costs two commands every few milliseconds; they are counted with the others.
 */
import { Redis } from 'ioredis';
import { RedisServer } from '../test/redis-server.ts';
import { type CpuCost, cpuBetween, cpuCost, describeCpu } from './cpu-cost.ts';

/** With commands, those inside scripts included. */
export interface Cost extends CpuCost {
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
    const stats = await this.client.info('commandstats');
    let commands = 0;
    for (const [, calls] of stats.matchAll(/:calls=(\d+)/g)) commands += Number(calls);
    return { ...cpuCost(parentPid, this.server.pid), commands };
  }
}

export function costBetween(before: Cost, after: Cost): Cost {
  return { ...cpuBetween(before, after), commands: after.commands - before.commands };
}

/** Microseconds of parent, children and server, and commands, for one task. */
export function describeCost(cost: Cost, tasks: number): string {
  const each = cost.commands / tasks;
  return `${describeCpu(cost, tasks, 'Redis')}, ${each.toFixed(each < 10 ? 2 : 0)} cmd`;
}
