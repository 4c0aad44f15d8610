// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require millpond.daemon as daemon';
'require millpond.words as words';

/* The tile on LuCI's status overview. */

return baseclass.extend({
	title: _('Millpond'),

	load() {
		return daemon.status();
	},

	render(status) {
		const [ style, word, sentence ] = words.state(status);
		const problems = L.toArray(status.problems).length;

		return E('div', { 'data-name': 'millpond-tile' }, [
			words.style(),
			E('p', { 'class': 'millpond-row' }, [
				words.badge(style, word),
				E('span', { 'class': 'grow' }, [ sentence ]),
				problems ? words.badge('warning', N_(problems, '%d problem', '%d problems').format(problems)) : '',
				E('a', { 'href': L.url('admin/services/millpond/overview') }, _('Details'))
			])
		]);
	}
});
