/** A question to the operator that is to be answered by yes or no, as Celery asks it: no answer is no. */
import type { CommandContext } from './command.ts';

const answers: ReadonlyMap<string, boolean> = new Map([
  ['y', true],
  ['yes', true],
  ['', false],
  ['n', false],
  ['no', false],
]);

/** Asks again until it gets an answer; false at the end of the input, as without a terminal. */
export async function confirm(ctx: CommandContext, question: string): Promise<boolean> {
  const ask = (): void => ctx.prompt(`${question} [y/N]: `);
  ask();
  for await (const line of ctx.lines()) {
    const answer = answers.get(line.trim().toLowerCase());
    if (answer !== undefined) return answer;
    ctx.problem('Error: invalid input');
    ask();
  }
  ctx.prompt('\n');
  return false;
}
