/** The page of an address that names none. */
import { h } from '../dom.js';
import { empty } from '../parts.js';
import { link } from '../router.js';

export const lost = {
  title: () => 'No such page',
  draw: () =>
    empty(
      'There is no such page',
      'The address may be old, or cut off.',
      h('a', { href: link('overview') }, 'To the overview'),
    ),
};
