// LuCI's own ESLint settings, and its style: tabs, single quotes, 'use strict'.
const READONLY = [
	'_', 'N_', 'L', 'E', 'document', 'window', 'fetch', 'setTimeout', 'Node', 'Blob', 'URL', 'baseclass', 'dom', 'form', 'fs', 'poll', 'rpc', 'uci', 'ui', 'view',
	'CustomEvent'
];

export default [ {
	files: [ '**/*.js' ],
	languageOptions: {
		sourceType: 'script',
		ecmaVersion: 2022,
		parserOptions: { ecmaFeatures: { globalReturn: true } },
		globals: Object.fromEntries([ ...READONLY, 'choices', 'daemon', 'graph', 'headline', 'home', 'levels', 'paste', 'problems', 'week', 'wireguard', 'words' ].map((name) => [ name, 'readonly' ]))
	},
	rules: {
		'no-undef': 'error',
		'no-unused-vars': [ 'error', { args: 'after-used', argsIgnorePattern: '^unused', varsIgnorePattern: '^(_|unused)' } ],
		'prefer-const': 'error',
		'no-var': 'error',
		'eqeqeq': [ 'error', 'always', { null: 'ignore' } ],
		'no-redeclare': 'off',
		'no-irregular-whitespace': 'error',
		'no-unreachable': 'error',
		'no-dupe-keys': 'error',
		'no-mixed-spaces-and-tabs': 'error',
		'no-restricted-syntax': [ 'error', { selector: 'Literal[raw=/^"/]', message: 'use single quotes' } ]
	}
}, {
	files: [ '**/*.js' ],
	plugins: { luci: { rules: { head: {
		create: (context) => ({
			Program(node) {
				if (node.body[0]?.directive !== 'use strict')
					context.report({ node, message: '\'use strict\' must come first' });

				context.sourceCode.lines.forEach((line, at) => {
					if (/^\t* +\S/.test(line) && !/^\t* \*/.test(line))
						context.report({ loc: { line: at + 1, column: 0 }, message: 'indent with tabs' });

					if (/\s$/.test(line))
						context.report({ loc: { line: at + 1, column: 0 }, message: 'trailing space' });
				});
			}
		})
	} } } },
	rules: { 'luci/head': 'error' }
} ];
