/** `umbel doctor`: what is wrong with servers and machine, as the worker would meet them. */
import { secondsOrNever } from '../config/kind.ts';
import { runDoctor } from '../doctor/doctor.ts';
import type { Command } from './command.ts';
import { examination, examinationOptions, examinationSettings, examinationStatuses, tell } from './examination.ts';
import { valueOption } from './option-spec.ts';

const consumerTimeoutOption = valueOption({
  names: ['--consumer-timeout'],
  argument: 'SECONDS',
  kind: secondsOrNever(),
  defaultText: '1800, the default of RabbitMQ',
  doc: 'The consumer_timeout of the RabbitMQ server, which AMQP does not tell; 0: it has none.',
});

export const command: Command = {
  arguments: [],
  description: `Asks the broker and the result backend, with the options of the worker, and looks at the limits of this machine. Nothing is changed there, and no message is taken. ${examinationStatuses}`,
  examples: ['umbel doctor', 'umbel doctor -b redis://cache:6379/0', 'umbel -A jobs doctor --unit umbel@mail', 'umbel doctor --errors -j'],
  options: [...examinationOptions, consumerTimeoutOption],
  settings: examinationSettings,
  async run(ctx) {
    const { subjects, unit, findings, loadModules } = examination(ctx);
    const given = ctx.option(consumerTimeoutOption);
    const consumerTimeoutSeconds = given === undefined ? null : (given ?? Number.POSITIVE_INFINITY);
    return tell(ctx, findings, await runDoctor({ subjects, unit, consumerTimeoutSeconds, loadModules }));
  },
};
