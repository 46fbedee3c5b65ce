/** The end at once: nothing is waited for. Children die with this process; the broker gets everything back by its lease. */
import type { RootLogger } from '../log/create-logger.ts';
import type { Pidfile } from '../os/pidfile.ts';

export interface HardStopParams {
  /** For the log. */
  readonly why: string;
  readonly status: number;
  /** Of the children, each with a process group of its own. */
  readonly pids: readonly number[];
  readonly pidfile: Pick<Pidfile, 'release'>;
  readonly log: RootLogger;
}

export function hardStop({ why, status, pids, pidfile, log }: HardStopParams): never {
  log.critical('worker.stop', `worker: ${why}, nothing is waited for`, { mode: 'hard' });
  log.flushSync();
  for (const pid of pids) {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
  pidfile.release();
  process.exit(status);
}
