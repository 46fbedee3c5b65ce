/**
 * Which role is this process? Then hand over.
 *
 * `pool-child` is how a worker starts its own children, and `pool-thread` those in threads of its own; everything else is the command line.
 */

import { threadRole } from './ipc/thread-start.ts';

async function main(): Promise<void> {
  // After a restart in place, another HUP may come before the worker listens; it has nothing to add.
  if (process.argv.includes('worker')) process.on('SIGHUP', () => {});
  if (process.argv[2] === 'pool-child') {
    const { startProcessChild } = await import('./child/process-home.ts');
    startProcessChild();
    return;
  }
  if (process.argv[2] === threadRole) {
    const { startThreadChild } = await import('./child/thread-home.ts');
    startThreadChild();
    return;
  }
  const { runCli } = await import('./cli/run-cli.ts');
  const status = await runCli(process.argv.slice(2));
  process.exitCode = status;
  // Whatever is still open is not worth waiting for: the command has said that it is done.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(status);
}

/** Resolves when everything written to the stream is with the system. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });
}

void main();
