/** `umbel check`: what would keep a worker from starting or from working, found without any server. */
import { resolve } from 'node:path';
import { text } from '../config/kind.ts';
import { runCheck } from '../doctor/check.ts';
import type { Command } from './command.ts';
import { examination, examinationOptions, examinationSettings, examinationStatuses, tell } from './examination.ts';
import { valueOption } from './option-spec.ts';

const defaultsOption = valueOption({
  names: ['--defaults'],
  argument: 'PATH',
  kind: text({ rule: 'a path' }),
  doc: 'The file of variables of the init script and the units, to be looked at as well.',
});

export const command: Command = {
  arguments: [],
  description: `Looks at configuration, task modules, folders and rights, as a worker with the same options and of the same user would find them, and asks no server. Task modules are loaded in a child process. ${examinationStatuses}`,
  examples: [
    'umbel check',
    'umbel -A jobs check -n worker1@%h',
    'umbel check --unit /lib/systemd/system/umbel@.service --defaults /etc/default/umbeld',
    'umbel check --errors -j',
  ],
  options: [...examinationOptions, defaultsOption],
  settings: examinationSettings,
  async run(ctx) {
    const { subjects, unit, findings, loadModules } = examination(ctx);
    const given = ctx.option(defaultsOption);
    const defaults = given === undefined ? null : resolve(ctx.cwd, given);
    return tell(ctx, findings, await runCheck({ subjects, unit, defaults, loadModules }));
  },
};
