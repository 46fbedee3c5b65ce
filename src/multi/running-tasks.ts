/**
 * Which tasks a node is running, asked over remote control by a command of the same program.
 *
 * multi/ has no broker of its own. null: nobody answered, remote control is off, or the program is another one.
 */
import { spawn } from 'node:child_process';
import type { MultiNode } from './multi-node.ts';

const replySeconds = 2;
/** The program has to start, and the broker may be away. */
const giveUpMs = 10_000;

/** `tasks.report[1be2ceea-…]` each. */
export async function runningTasks(node: MultiNode, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<readonly string[] | null> {
  const argv = node.callOf(['inspect', 'active', '--json', '--timeout', String(replySeconds), '--destination', node.name]);
  if (argv === null || signal.aborted) return null;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(giveUpMs)]);
  const child = spawn(node.executable, [...argv], { env, stdio: ['ignore', 'pipe', 'ignore'], signal: limit, killSignal: 'SIGKILL' });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return new Promise((resolve) => {
    child.on('error', () => resolve(null));
    child.on('close', (status) => resolve(status === 0 ? namesIn(text, node.name) : null));
  });
}

function namesIn(text: string, nodeName: string): readonly string[] | null {
  try {
    const reply: unknown = JSON.parse(text);
    const tasks = isRecord(reply) ? reply[nodeName] : undefined;
    if (!Array.isArray(tasks)) return null;
    return tasks.filter(isRecord).map(({ name, id }) => `${String(name)}[${String(id)}]`);
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
