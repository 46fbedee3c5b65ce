/** `umbel report`: what a report of a problem should tell of this installation. Of a running worker: `umbel inspect report`. */
import { exitStatus } from '../errors.ts';
import { bugReport, bugReportText } from '../node/bug-report.ts';
import { encodeJson } from '../protocol/json.ts';
import type { Command } from './command.ts';
import { jsonOption } from './repeated-options.ts';

const json = jsonOption('Print it as one line of JSON.');

export const command: Command = {
  arguments: [],
  description:
    'Versions, platform, broker and results, and the settings that differ from their defaults. Passwords and keys are masked; look over the rest before you publish it. ' +
    'It connects to nothing. Of a worker that runs: umbel inspect report.',
  examples: ['umbel report', 'umbel --config /etc/umbel/umbel.toml report'],
  options: [json],
  settings: [],
  async run(ctx) {
    const report = bugReport(() => ctx.loadConfig());
    ctx.stdout(ctx.option(json) === true ? encodeJson(report) : bugReportText(report));
    return exitStatus.ok;
  },
};
