/** Starting in order, stopping in the reverse one, whatever fails on the way. */
import t from 'tap';
import { BootOrder, type Component } from '../../src/lifecycle/component.ts';

interface Faults {
  readonly start?: readonly string[];
  readonly stop?: readonly string[];
}

function components(names: readonly string[], faults: Faults = {}): { readonly parts: Component[]; readonly calls: string[] } {
  const calls: string[] = [];
  const step = async (call: 'start' | 'stop', name: string): Promise<void> => {
    calls.push(`${call} ${name}`);
    await null;
    if (faults[call]?.includes(name) === true) throw new Error(`${name} does not ${call}`);
  };
  return { calls, parts: names.map((name) => ({ name, start: () => step('start', name), stop: () => step('stop', name) })) };
}

t.test('in order, and back', async (t) => {
  const { parts, calls } = components(['a', 'b', 'c']);
  const boot = new BootOrder(parts);
  await boot.start();
  await boot.stop();
  t.same(calls, ['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
});

t.test('stop before start does nothing, a second stop neither', async (t) => {
  const { parts, calls } = components(['a']);
  const boot = new BootOrder(parts);
  await boot.stop();
  t.same(calls, []);
  await boot.start();
  await boot.stop();
  await boot.stop();
  t.same(calls, ['start a', 'stop a']);
});

t.test('one that does not start: those before it are stopped again, its failure is thrown', async (t) => {
  const { parts, calls } = components(['a', 'b', 'c', 'd'], { start: ['c'] });
  const boot = new BootOrder(parts);
  await t.rejects(boot.start(), { message: 'c does not start' });
  t.same(calls, ['start a', 'start b', 'start c', 'stop b', 'stop a']);
});

t.test('its failure is thrown also when taking back fails', async (t) => {
  const { parts, calls } = components(['a', 'b', 'c'], { start: ['c'], stop: ['b'] });
  await t.rejects(new BootOrder(parts).start(), { message: 'c does not start' });
  t.same(calls.slice(3), ['stop b', 'stop a']);
});

t.test('one that does not stop keeps no other from stopping; the first failure is thrown', async (t) => {
  const { parts, calls } = components(['a', 'b', 'c'], { stop: ['b', 'c'] });
  const boot = new BootOrder(parts);
  await boot.start();
  await t.rejects(boot.stop(), { message: 'c does not stop' });
  t.same(calls.slice(3), ['stop c', 'stop b', 'stop a']);
  await boot.stop();
  t.equal(calls.length, 6, 'nothing is stopped twice');
});

t.test('started and stopped again and again', async (t) => {
  const { parts, calls } = components(['a', 'b']);
  const boot = new BootOrder(parts);
  for (let round = 0; round < 50; round += 1) {
    await boot.start();
    await boot.stop();
  }
  t.equal(calls.length, 200);
});
