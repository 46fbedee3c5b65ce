/** The inspector of one pool child, for `umbel ctl debug`. Owns the rules: where it may be opened, and how what cannot be is said. */
import { CommandFailure } from '../control/command-failure.ts';
import type { Logger } from '../log/logger.ts';
import type { ChildHandle } from '../pool/child-handle.ts';
import type { ChildPool } from '../pool/child-pool.ts';

const answerMs = 3000;

export interface ChildDebuggerParams {
  readonly pool: ChildPool;
  /** The setting `worker.enable_inspector`. */
  readonly enabled: boolean;
  readonly log: Logger;
}

export class ChildDebugger {
  readonly #params: ChildDebuggerParams;

  constructor(params: ChildDebuggerParams) {
    this.#params = params;
  }

  /** Where it listens. Throws CommandFailure. */
  async open(index: number): Promise<string> {
    const { enabled, pool, log } = this.#params;
    if (!enabled)
      throw new CommandFailure(
        null,
        'worker.enable_inspector must be true for that, got false: whoever reaches the port can run code as this worker',
      );
    const url = await this.#child(index).inspector.open(answerMs);
    if (url === null) {
      const why =
        pool.pids.length === 0
          ? `children of the pool '${pool.name}' have none that can be opened from outside`
          : 'it does not answer, blocked in native code';
      throw new CommandFailure(null, `the inspector of PoolChild-${index} cannot be opened: ${why}`);
    }
    log.warning('inspector.open', `inspector of PoolChild-${index} listening on ${url}`, { child: index });
    return url;
  }

  /** false: it was not open. */
  async close(index: number): Promise<boolean> {
    const closed = await this.#child(index).inspector.close(answerMs);
    if (closed) this.#params.log.warning('inspector.closed', `inspector of PoolChild-${index} closed`, { child: index });
    return closed;
  }

  #child(index: number): ChildHandle {
    const child = this.#params.pool.child(index);
    if (child === undefined || child.state === 'gone')
      throw new CommandFailure(null, `the index must be that of a child, 1 to ${this.#params.pool.size}, got ${index}`);
    return child;
  }
}
