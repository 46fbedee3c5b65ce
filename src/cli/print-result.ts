/** The value of a result on standard output, or on standard error why there is none; the exit status. */
import { exitStatus } from '../errors.ts';
import { encodeJson } from '../protocol/json.ts';
import { RemoteTaskError } from '../protocol/remote-error.ts';
import type { CommandContext } from './command.ts';

export async function printResult(
  ctx: CommandContext,
  result: { get(options: { timeoutMs?: number | undefined }): Promise<unknown> },
  timeoutMs: number | undefined,
): Promise<number> {
  try {
    ctx.stdout(encodeJson(await result.get({ timeoutMs })));
    return exitStatus.ok;
  } catch (error) {
    if (!(error instanceof RemoteTaskError)) throw error;
    const what = `${error.remoteName}: ${error.message}`;
    const traceback = error.remoteTraceback?.trimEnd() ?? '';
    // A JavaScript stack begins with what was thrown, a Python traceback ends with it.
    ctx.stderr(`${error.state}: ${traceback.startsWith(what) ? traceback : what}`);
    if (traceback !== '' && !traceback.startsWith(what)) ctx.stderr(traceback);
    return exitStatus.failure;
  }
}
