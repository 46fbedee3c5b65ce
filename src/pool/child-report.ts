/** What one child is doing: by its own words, or by the stack of its JavaScript. Changes nothing. */
import type { ChildHandle } from './child-handle.ts';
import type { ChildReport } from './pool.ts';

/** A child that is merely kept waiting by a busy machine answers within this time. */
const dumpTimeoutMs = 1000;
const stackTimeoutMs = 2000;

export async function reportOf(child: ChildHandle): Promise<ChildReport> {
  const doing = await child.dump(dumpTimeoutMs);
  const now = performance.now();
  const started = [...child.jobs.values()]
    .filter((job) => job.started)
    .map(({ taskName, taskId, startedAtMs }) => ({ taskName, taskId, runningMs: now - startedAtMs }));
  const base = { index: child.index, pid: child.pid, state: child.state, doing, started };
  if (doing !== null || child.state === 'gone') return { ...base, stack: null };
  return { ...base, stack: await child.inspector.stack(stackTimeoutMs) };
}

/** Where its JavaScript stands; null: it does nothing. */
export async function stackOf(child: ChildHandle): Promise<string | null> {
  const lines = await child.inspector.stack(stackTimeoutMs);
  return lines.join('\n') || null;
}
