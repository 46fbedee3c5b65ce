/** The error of a configuration with problems: all of them at once, each with its place. */
import { UmbelError } from '../errors.ts';

export interface ConfigProblem {
  /** The rule and the actual value. */
  readonly message: string;
  /** 'umbel.toml:12', '--concurrency', 'UMBEL_WORKER_CONCURRENCY'. */
  readonly place: string;
}

export class ConfigError extends UmbelError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map(({ message, place }) => `${message} (${place})`);
    super(
      'CONFIG_INVALID',
      lines.length === 1 ? `${lines[0]}` : `the configuration has ${lines.length} problems:\n  ${lines.join('\n  ')}`,
    );
    this.name = 'ConfigError';
    this.problems = problems;
  }
}
