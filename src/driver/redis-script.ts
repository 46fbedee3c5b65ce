/**
 * Lua scripts and the names the server knows them by.
 *
 * Owns: every script the program has, by digest. They are sent by digest; the outbox loads the text when a server has not seen it.
 */
import { createHash } from 'node:crypto';

export interface RedisScript {
  readonly lua: string;
  readonly sha: string;
}

export type RedisArgument = string | number | Buffer;
/** Name and arguments as on the wire. */
export type RedisCommand = readonly [string, ...RedisArgument[]];

const texts = new Map<string, string>();

export function redisScript(lua: string): RedisScript {
  const sha = createHash('sha1').update(lua).digest('hex');
  texts.set(sha, lua);
  return { lua, sha };
}

/** The text of a script made by `redisScript`. */
export function luaOf(sha: string): string | undefined {
  return texts.get(sha);
}

export function evalCommand(script: RedisScript, keys: readonly RedisArgument[], args: readonly RedisArgument[]): RedisCommand {
  return ['EVALSHA', script.sha, keys.length, ...keys, ...args];
}
