/**
 * A child in a process of its own.
 *
 * Owns that it cannot outlive its parent: the end of the pipe ends this process and everything it has spawned, and so does the
 * kernel when the parent dies while this process spins in a loop.
 */
import type { ChildSettings } from '../ipc/exchange.ts';
import { compileForTasks } from '../os/compile-for-tasks.ts';
import { prepareForStack } from '../os/inspector-stack.ts';
import { dieWithParent } from '../os/parent-death.ts';
import { setProcessTitle } from '../os/process-title.ts';
import { ignoreGroupSignals } from '../os/signals.ts';
import type { ChildHome, HomeEvents } from './child-home.ts';
import type { Carrier } from './child-port.ts';
import { lifelineFd, PipeCarrier } from './pipe.ts';
import { ChildRuntime } from './runtime.ts';

/** Become a pool child. Returns at once; the process lives until the parent says stop or goes. */
export function startProcessChild(): void {
  compileForTasks();
  new ChildRuntime(new ProcessHome());
}

class ProcessHome implements ChildHome {
  readonly sharedWithParent = false;
  readonly noun = 'child';

  open({ onBytes, onUncaught, onExit }: HomeEvents): Carrier {
    prepareForStack();
    ignoreGroupSignals();
    process.on('uncaughtException', onUncaught);
    // Task code may end the process: what it has printed before must not end with it.
    process.on('exit', onExit);
    return new PipeCarrier({ onBytes, onEnd: () => endGroup() });
  }

  settle({ parentPid, nodeName, index }: ChildSettings): void {
    dieWithParent(parentPid, lifelineFd);
    setProcessTitle(nodeName, `PoolChild-${index}`);
  }

  end(status: number): never {
    process.exit(status);
  }
}

/** The parent is gone: end, with everything this process has spawned (it leads a group of its own). */
function endGroup(): never {
  try {
    process.kill(-process.pid, 'SIGKILL');
  } catch {
    // Not the leader of a group: there is nothing to take along.
  }
  process.exit(1);
}
