/**
 * The task module most live tests run: tasks that wait until the test lets them go, spin, fail or say what they see.
 * `gate` waits for a file to appear, so a test decides when a task ends; the late ones acknowledge late.
 */

export const liveTasks = `
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { currentTask, task } from 'umbel';

export const add = (x: number, y: number): number => x + y;

async function waitFor(file: string): Promise<string> {
  while (!existsSync(file)) await sleep(5);
  return currentTask()?.deliveryInfo.redelivered === true ? 'redelivered' : 'first';
}
export const gate = task({}, waitFor);
export const lateGate = task({ acksLate: true }, waitFor);
export const requeuedGate = task({ acksLate: true, rejectOnWorkerLost: true }, waitFor);

export function spin(): void {
  for (;;) {
  }
}
export const pid = () => process.pid;
export const echo = (value: unknown) => value;
`;
