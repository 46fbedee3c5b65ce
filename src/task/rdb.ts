/**
 * `rdb.setTrace()`: a task stops there until a debugger is attached. Celery's remote debugger, with Node's inspector in place of pdb.
 *
 * Owns the port: the first that is free, on the loopback interface. While it waits the process does nothing else, and hard time limits count on.
 */
import { writeSync } from 'node:fs';
import inspector from 'node:inspector';
import { UmbelError } from '../errors.ts';
import { firstInspectorPort, openInspector, ownInspectorNotice } from '../std/open-inspector.ts';

export interface Rdb {
  /** The first call in a process opens a port and waits; a later one stops only while a debugger is attached. Throws NOT_SUPPORTED when no port is free. */
  setTrace(): void;
}

export const rdb: Rdb = {
  setTrace() {
    if (inspector.url() === undefined) {
      writeSync(2, `${ownInspectorNotice}\n`);
      const port = openInspector(firstPort(process.env));
      if (port === null) throw new UmbelError('NOT_SUPPORTED', 'rdb.setTrace() needs a free port, got none (UMBEL_RDB_PORT)');
      writeSync(2, `Remote Debugger:${port}: attach with: node inspect 127.0.0.1:${port}, or chrome://inspect (pid ${process.pid})\n`);
      inspector.waitForDebugger();
    }
    // biome-ignore lint/suspicious/noDebugger: what this is for
    debugger;
  },
};

function firstPort(env: NodeJS.ProcessEnv): number {
  const given = env.UMBEL_RDB_PORT ?? env.CELERY_RDB_PORT ?? String(firstInspectorPort);
  const port = Number(given);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new UmbelError('NOT_SUPPORTED', `UMBEL_RDB_PORT must be the number of a port, got ${JSON.stringify(given)}`);
}
