'use strict';
'require view';

/* Stand-in for the status overview, with the application's tile only. */

return view.extend({
	load() {
		return L.require('view.status.include.65_millpond').then((tile) => Promise.all([ tile, tile.load() ]));
	},

	render([ tile, data ]) {
		return E('div', { 'class': 'cbi-section' }, [ E('h3', tile.title), tile.render(data) ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
