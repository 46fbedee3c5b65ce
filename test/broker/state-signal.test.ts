import t from 'tap';
import { StateSignal } from '../../src/broker/state-signal.ts';

t.test('tells of changes, each listener once and in order, and of nothing else', (t) => {
  const state = new StateSignal();
  const heard: string[] = [];
  const hear = (value: string, cause: Error | null): void => void heard.push(`1 ${value} ${cause?.message ?? '-'}`);
  state.onChange(hear);
  state.onChange(hear);
  state.onChange((value) => void heard.push(`2 ${value}`));
  state.set('stopped', null);
  state.set('connecting', null);
  state.set('connected', null);
  state.set('connected', new Error('no change'));
  state.set('lost', new Error('cable'));
  t.strictSame(heard, ['1 connecting -', '2 connecting', '1 connected -', '2 connected', '1 lost cable', '2 lost']);
  t.end();
});

t.test('who has ended it hears no more, the others do', (t) => {
  const state = new StateSignal();
  const heard: string[] = [];
  const end = state.onChange((value) => void heard.push(`1 ${value}`));
  state.onChange((value) => void heard.push(`2 ${value}`));
  state.set('connecting', null);
  end();
  state.set('connected', null);
  t.strictSame(heard, ['1 connecting', '2 connecting', '2 connected']);
  t.end();
});

t.test('started: from the first connection to the end, losses included', (t) => {
  const state = new StateSignal();
  const seen = (['connecting', 'connected', 'lost', 'connected', 'stopped'] as const).map((value) => {
    state.set(value, null);
    return [state.value, state.started];
  });
  t.strictSame(seen, [
    ['connecting', false],
    ['connected', true],
    ['lost', true],
    ['connected', true],
    ['stopped', false],
  ]);
  t.end();
});
