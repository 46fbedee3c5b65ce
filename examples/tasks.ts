/**
 * The smallest tasks there are: `umbel worker -A examples` in one terminal, then in another
 *
 *   umbel call examples.tasks.add --args '[2, 2]' --wait
 *   umbel call examples.tasks.fetchTitle --args '["http://localhost:8000/"]' --wait
 */
import { setTimeout } from 'node:timers/promises';
import { currentTask, task } from 'umbel';

/** A plain exported function is a task. */
export function add(x: number, y: number): number {
  return x + y;
}

/** Keyword arguments reach parameters by name: `--kwargs '{"name": "Ada"}'`. */
export function greet(name: string, greeting = 'Hello'): string {
  currentTask()?.log.info('greeting %s', name);
  return `${greeting}, ${name}!`;
}

/** Options come first; with `bind` the context is the first parameter. Tries again, a little later each time, when the server does not answer. */
export const fetchTitle = task({ bind: true, maxRetries: 5 }, async (context, url: string): Promise<string | null> => {
  let page: string;
  try {
    const response = await fetch(url, { signal: context.signal });
    if (response.status >= 500) throw new Error(`${url} answered ${response.status}`);
    page = await response.text();
  } catch (error) {
    return context.retry({ exc: error, countdown: 2 ** context.retries });
  }
  return /<title>([^<]*)<\/title>/i.exec(page)?.[1]?.trim() ?? null;
});

/** Says how far it is: `umbel result ID` shows the state PROGRESS and its meta while it runs. */
export const countDown = task({ bind: true }, async (context, from: number): Promise<string> => {
  for (let left = from; left > 0; left -= 1) {
    await context.updateState({ state: 'PROGRESS', meta: { left } });
    await setTimeout(1_000, undefined, { signal: context.signal });
  }
  return 'lift-off';
});
