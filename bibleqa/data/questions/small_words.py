"""Words of grammar, and others so common that a question about them would ask nothing."""

SMALL = frozenset(
    """a about above according after again against all also am among an and any are around as at away back be because
    been before being both but by can cannot could did do done down each either else even ever every everyone everything
    few for forth from had has hast hath have having he hence her here hereby herein hers herself him himself his
    hither how howbeit however i if in indeed into is it its itself let lest like lo many may me might mighty mine
    more moreover most much must my myself near neither nevertheless nigh no none nor not nothing notwithstanding now
    o of off on once one only or other others our ours ourselves out over own rather round same seeing shall she
    should since so some somewhat such than that the thee their theirs them themselves then thence there thereby
    therefore therein thereof thereon thereto therewith these they thine thing things thither this those thou though
    through throughout thus thy thyself till to together too toward towards under until unto up upon us very was we
    were what whatever whatsoever when whence whenever where whereas whereby wherefore wherein whereof whereon
    wherever whereupon wherewith whether which while whilst whither who whoever whom whomever whomsoever whose whoso
    whosoever why will with within without would yea yes yet you your yours yourself yourselves behold see surely
    truly verily come came go went gone make made put set say said says saith sayest saying take took taken get got
    got gotten give gave given bring brought two three four five six seven eight nine ten twelve twenty hundred
    thousand times time unto wast were aught anything anyone first second become became amongst amid midst beside
    besides between beyond except save left over alike always alway ever forever altogether apart asunder""".split()
)
