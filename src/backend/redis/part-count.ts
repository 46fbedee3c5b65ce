/**
 * One end of a part of a chord: its result stored and counted, and its message acknowledged unless there is more for this part to do.
 *
 * Owns the promise of this step. What the reply comes to is redis-groups.ts.
 */
import type { RedisFailure } from '../../driver/redis-failure.ts';
import type { RedisOperation } from '../../driver/redis-outbox.ts';
import type { RedisRemoval } from '../../driver/redis-removal.ts';
import { evalCommand, type RedisCommand } from '../../driver/redis-script.ts';
import { storePartScript } from './chord-script.ts';

export interface PartCountParams {
  /** As storePartScript wants them, but for what is removed. */
  readonly keys: readonly string[];
  readonly args: readonly string[];
  readonly removal: RedisRemoval | null;
  /** As storePartScript says; what a number says of the message is done. */
  resolve(reply: readonly unknown[] | number): void;
  reject(failure: RedisFailure): void;
}

export class PartCount implements RedisOperation {
  readonly keep = true;
  readonly needsRights = true;
  readonly atomic = true;
  readonly bytes: number;
  readonly #params: PartCountParams;

  constructor(params: PartCountParams) {
    this.#params = params;
    let bytes = 64;
    for (const text of [...params.keys, ...params.args]) bytes += text.length;
    this.bytes = bytes;
  }

  commands(): readonly RedisCommand[] {
    const { keys, args, removal } = this.#params;
    if (removal === null) return [evalCommand(storePartScript, keys, args)];
    const { hash, index, member } = removal;
    return [evalCommand(storePartScript, [...keys, hash, index], [...args, member])];
  }

  /** Sent again after a lost reply, a message that is gone was acknowledged the first time: nobody else has it under this name. */
  done([reply]: readonly unknown[], resent: boolean): void {
    const { removal, resolve } = this.#params;
    if (Array.isArray(reply)) {
      resolve(reply);
      removal?.kept();
    } else {
      resolve(Number(reply));
      removal?.removed(resent || reply !== 1);
    }
  }

  failed(failure: RedisFailure): void {
    this.#params.reject(failure);
    this.#params.removal?.failed(failure);
  }
}
