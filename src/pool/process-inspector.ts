/**
 * The inspector of a child that is a process of its own. It opens after SIGUSR1, also while the JavaScript is busy, and says where on standard error.
 *
 * Never leaves it open but where somebody has asked for a debugger.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { formatStack, takeStack } from '../os/inspector-stack.ts';
import type { ChildInspector } from './child-inspector.ts';
import type { OutputLines } from './output-lines.ts';

/**
 * Time a process is left alone after a stack. It closes its inspector while it is paused, and only then goes on; an inspector that opens in between opens
 * inside of the pause, where nothing of what it is asked for happens.
 */
export const restMs = 250;

export function processInspector(process: ChildProcess, output: OutputLines): ChildInspector {
  let restedAt = 0;
  const rest = (): void => {
    restedAt = performance.now() + restMs;
  };
  /** Whoever asks meanwhile gets the same. */
  let running: Promise<readonly string[]> | undefined;
  const awaken = async (timeoutMs: number): Promise<string | null> => {
    if (performance.now() < restedAt) await sleep(restedAt - performance.now());
    return output.nextInspectorUrl(timeoutMs, () => process.kill('SIGUSR1'));
  };
  const take = async (timeoutMs: number): Promise<readonly string[]> => {
    const wsUrl = await awaken(timeoutMs);
    if (wsUrl === null) return ['no answer: blocked in native code'];
    try {
      return formatStack(await takeStack({ wsUrl, timeoutMs })).split('\n');
    } catch (error) {
      return [`no stack: ${messageOf(error)}`];
    } finally {
      rest();
    }
  };
  return {
    async stack(timeoutMs) {
      if (output.debuggerUrl !== null) return [`no stack: its inspector is open for a debugger, ${output.debuggerUrl}`];
      running ??= take(timeoutMs).finally(() => {
        running = undefined;
      });
      return running;
    },
    async open(timeoutMs) {
      output.debuggerUrl ??= await awaken(timeoutMs);
      return output.debuggerUrl;
    },
    async close(timeoutMs) {
      const wsUrl = output.debuggerUrl;
      if (wsUrl === null) return false;
      output.debuggerUrl = null;
      // Whoever takes a stack closes the inspector behind himself.
      await takeStack({ wsUrl, timeoutMs }).finally(rest);
      return true;
    },
  };
}
