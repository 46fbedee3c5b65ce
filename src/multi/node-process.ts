/**
 * Starting the process of a node: the folders of its files, its command, and how that ended.
 *
 * A command with --detach ends when its worker is ready or has failed, and what it writes to standard error says why. Owns nothing
 * that outlives it.
 */
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { messageOf } from '../errors.ts';
import { makeFolder, type Owner, unmakeFolder } from '../os/service-folder.ts';
import type { MultiNode } from './multi-node.ts';

export interface StartResult {
  /** 0: the worker is ready. */
  readonly status: number;
  readonly signal: NodeJS.Signals | null;
  /** What the command wrote to standard error, or why it could not be run. */
  readonly said: string;
}

/** How long what it has written may take to arrive; a program of another make may keep its standard error for ever. */
const drainMs = 500;

/**
 * `owner` of folders that have to be made; asked only then. Where the node does not come up they are taken away again, unless something
 * is in them. Rejects when its command line cannot be made.
 */
export async function startNode(node: MultiNode, env: NodeJS.ProcessEnv, owner: () => Owner): Promise<StartResult> {
  const made: (readonly [path: string, topmost: string])[] = [];
  let isUp = false;
  try {
    try {
      for (const path of [dirname(node.pidfile), dirname(node.logfile)]) {
        const topmost = makeFolder(path, owner);
        if (topmost !== null) made.unshift([path, topmost]);
      }
    } catch (error) {
      return { status: 1, signal: null, said: `its folders could not be made: ${messageOf(error)}` };
    }
    const result = await run(node, env);
    isUp = result.status === 0 && result.signal === null;
    return result;
  } finally {
    if (!isUp) for (const [path, topmost] of made) unmakeFolder(path, topmost);
  }
}

/** Rejects when the command line cannot be made. */
async function run(node: MultiNode, env: NodeJS.ProcessEnv): Promise<StartResult> {
  // Kept in front, it has the terminal.
  const inFront = Boolean(env.UMBEL_FAKEFORK || env.C_FAKEFORK);
  const child = spawn(node.executable, [...node.argv], { env, stdio: inFront ? 'inherit' : ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  return new Promise((resolve) => {
    child.on('error', (error) =>
      resolve({ status: 1, signal: null, said: `${node.executable} could not be started: ${messageOf(error)}` }),
    );
    child.on('exit', (status, signal) => {
      const finish = (): void => {
        clearTimeout(timer);
        child.stderr?.destroy();
        resolve({ status: status ?? 1, signal, said });
      };
      // This process may have stood still, and what it has written be there.
      const timer = setTimeout(() => setImmediate(finish), drainMs);
      child.on('close', finish);
    });
  });
}
