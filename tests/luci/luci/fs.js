'use strict';
'require baseclass';
'require rpc';

const callExec = rpc.declare({ object: 'file', method: 'exec', params: [ 'command', 'params', 'env' ], reject: true });

return baseclass.extend({
	exec(command, params) {
		return callExec(command, params);
	}
});
