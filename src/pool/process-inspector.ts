/**
 * The inspector of a child that is a process of its own. It opens after SIGUSR1, also while the JavaScript is busy, and says where on standard error.
 *
 * Never leaves it open but where somebody has asked for a debugger.
 */
import type { ChildProcess } from 'node:child_process';
import { messageOf } from '../errors.ts';
import { formatStack, takeStack } from '../os/inspector-stack.ts';
import type { ChildInspector } from './child-inspector.ts';
import type { OutputLines } from './output-lines.ts';

export function processInspector(process: ChildProcess, output: OutputLines): ChildInspector {
  const awaken = (timeoutMs: number): Promise<string | null> => output.nextInspectorUrl(timeoutMs, () => process.kill('SIGUSR1'));
  return {
    async stack(timeoutMs) {
      if (output.debuggerUrl !== null) return [`no stack: its inspector is open for a debugger, ${output.debuggerUrl}`];
      const wsUrl = await awaken(timeoutMs);
      if (wsUrl === null) return ['no answer: blocked in native code'];
      try {
        return formatStack(await takeStack({ wsUrl, timeoutMs })).split('\n');
      } catch (error) {
        return [`no stack: ${messageOf(error)}`];
      }
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
      await takeStack({ wsUrl, timeoutMs });
      return true;
    },
  };
}
