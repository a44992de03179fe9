"""The catalogues that are known by name, in the columns in which their authors publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.times import DAYS_PER_JULIAN_YEAR, mjd_tai_to_julian_year
from ingest.catalogues.layouts import CatalogueLayout, Column, Score
from ingest.catalogues.stored import EVERY_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping

MAS = 1e-3
"""Milliarcseconds to arcsec."""

MJD_ZERO_JYEAR = float(mjd_tai_to_julian_year(0.0))
"""Julian year of MJD 0."""

HALF_OF_DIAMETER_ARCMIN = 30.0
"""Arcmin of a whole major axis to arcsec of half of it."""

STAR_SCORE_FROM = 0.83
"""PS1-PSC score from which an entry is called a star: the threshold of Tachibana & Miller 2018,
doi:10.1088/1538-3873/aae3d9, at which few galaxies are taken for stars."""

GALAXY_SCORE_BELOW = 0.5
"""PS1-PSC score below which an entry is called a galaxy: more extended than not, ibid."""

GLADE_PLUS_COLUMNS = (
    *("GLADE no", "PGC", "GWGC", "HyperLEDA", "2MASS", "WISExSCOS", "SDSS-DR16Q", "type", "ra", "dec"),
    *("B", "B_err", "B flag", "B_Abs", "J", "J_err", "H", "H_err", "K", "K_err", "W1", "W1_err", "W2", "W2_err"),
    *("W1 flag", "B_J", "B_J_err", "z_helio", "z_cmb", "z flag", "v_err", "z_err", "d_L", "d_L_err", "dist flag"),
    *("M*", "M*_err", "M* flag", "merger rate", "merger rate error"),
)
"""Columns of GLADE+.txt, which has no header; Dalya et al. 2022, doi:10.1093/mnras/stac1443."""

SIMBAD_GALAXIES = (
    *("G", "LSB", "bCG", "SBG", "H2G", "EmG", "rG", "GiC", "BiC", "GiG", "GiP", "IG", "PaG"),
    *("AGN", "SyG", "Sy1", "Sy2", "LIN"),
)
"""SIMBAD's object types of galaxies that can host a transient; quasars and blazars, whose light is the nucleus, and
clusters are left out. http://simbad.cds.unistra.fr/guide/otypes.htx, 2022."""

_GAIA = CatalogueLayout(
    ra="ra",
    dec="dec",
    version="DR3",
    reference="Gaia Collaboration, Vallenari et al. 2023, doi:10.1051/0004-6361/202243940",
    radius_arcsec=1.5,
    sigma_arcsec=0.001,
    epoch=2016.0,
    source_id="source_id",
    constant_type="Gaia source",
    numbers={
        "epoch_jyear": Column(("ref_epoch",)),
        "pm_ra_masyr": Column(("pmra",), required=True),
        "pm_dec_masyr": Column(("pmdec",), required=True),
        "pm_ra_error_masyr": Column(("pmra_error",)),
        "pm_dec_error_masyr": Column(("pmdec_error",)),
        "parallax_mas": Column(("parallax",)),
        "parallax_err_mas": Column(("parallax_error",)),
        "ra_error_arcsec": Column(("ra_error",), MAS),
        "dec_error_arcsec": Column(("dec_error",), MAS),
    },
    magnitudes=(("G", ("phot_g_mean_mag",)),),
    order=5,
    # The archive's files are ECSV: some thousand comment lines, and null for absent values.
    csv={"comment": "#"},
)

_SIMBAD = CatalogueLayout(
    ra="ra",
    dec="dec",
    version="TAP export",
    reference="Wenger et al. 2000, doi:10.1051/aas:2000332",
    radius_arcsec=2.0,
    sigma_arcsec=0.3,
    source_id="main_id",
    object_type=("otype", "otype_txt"),
    galaxy_types=SIMBAD_GALAXIES,
    redshift=("rvz_redshift", "z_value"),
    numbers={
        "pm_ra_masyr": Column(("pmra",)),
        "pm_dec_masyr": Column(("pmdec",)),
        "parallax_mas": Column(("plx_value",)),
        "parallax_err_mas": Column(("plx_err",)),
        "ra_error_arcsec": Column(("coo_err_maj",), MAS),
        "dec_error_arcsec": Column(("coo_err_min",), MAS),
        "semi_major_arcsec": Column(("galdim_majaxis",), HALF_OF_DIAMETER_ARCMIN),
        "semi_minor_arcsec": Column(("galdim_minaxis",), HALF_OF_DIAMETER_ARCMIN),
        "position_angle_deg": Column(("galdim_angle",)),
    },
    magnitudes=(("R", ("R",)), ("V", ("V",)), ("G", ("G",)), ("B", ("B",))),
    optional=frozenset({"redshift"}),
    order=4,
)

_PS1 = CatalogueLayout(
    ra=("raMean", "raStack"),
    dec=("decMean", "decStack"),
    version="DR2",
    reference="Chambers et al. 2016, arXiv:1612.05560; scores Tachibana & Miller 2018, doi:10.1088/1538-3873/aae3d9",
    radius_arcsec=1.5,
    sigma_arcsec=0.02,
    epoch=2012.0,
    source_id="objID",
    constant_type="uncertain",
    score=Score("ps_score", STAR_SCORE_FROM, GALAXY_SCORE_BELOW),
    galaxy_types=("galaxy",),
    numbers={
        "epoch_jyear": Column(("epochMean",), 1.0 / DAYS_PER_JULIAN_YEAR, MJD_ZERO_JYEAR),
        "ra_error_arcsec": Column(("raMeanErr",)),
        "dec_error_arcsec": Column(("decMeanErr",)),
        # Kron radius: 2 of them are the aperture; half of the light of a disc lies within 0.84.
        "semi_major_arcsec": Column(("rKronRad",), 0.84),
    },
    magnitudes=(
        ("r", ("rMeanKronMag", "rMeanPSFMag")),
        ("i", ("iMeanKronMag", "iMeanPSFMag")),
        ("g", ("gMeanKronMag", "gMeanPSFMag")),
    ),
    order=5,
)

_GLADE = CatalogueLayout(
    ra="ra",
    dec="dec",
    version="GLADE+",
    reference="Dalya et al. 2022, doi:10.1093/mnras/stac1443",
    radius_arcsec=30.0,
    sigma_arcsec=8.0,
    source_id=("HyperLEDA", "GWGC", "2MASS", "SDSS-DR16Q", "WISExSCOS", "PGC"),
    constant_type="galaxy",
    galaxy_types=(EVERY_TYPE,),
    distance_mpc=("d_L", "distmpc"),
    redshift=("z_helio", "z"),
    numbers={"distance_err_mpc": Column(("d_L_err",))},
    magnitudes=(("B", ("B", "magb")), ("K", ("K", "magk"))),
    order=4,
    text={"sep": r"\s+", "header": None, "names": GLADE_PLUS_COLUMNS},
)

_TNS = CatalogueLayout(
    ra="ra",
    dec="declination",
    version="daily public CSV",
    reference="Transient Name Server, https://www.wis-tns.org",
    radius_arcsec=2.0,
    sigma_arcsec=0.5,
    source_id="name",
    id_prefix="name_prefix",
    object_type="type",
    constant_type="unclassified",
    redshift="redshift",
    magnitudes=(("discovery", ("discoverymag",)),),
)

_FERMI_AGN = CatalogueLayout(
    ra="RA_Counterpart",
    dec="DEC_Counterpart",
    version="DR3",
    reference="Ajello et al. 2022, doi:10.3847/1538-4365/ac9523",
    radius_arcsec=2.0,
    sigma_arcsec=0.3,
    source_id="Source_Name",
    object_type="CLASS",
    redshift="Redshift",
)

_CTAO = CatalogueLayout(
    ra="3FGL Name",
    dec="3FGL Name",
    version="ZTF DR22",
    reference="3FHL: Ajello et al. 2017, doi:10.3847/1538-4365/aa8221",
    # A name states hours to 0.1 minute and degrees to 1 arcmin, cut off: 26 and 17 arcsec about the middle, beside the
    # error of the gamma-ray position. Half of 4LAC's counterparts lie within 55 arcsec, 95 in 100 within 160.
    radius_arcsec=180.0,
    sigma_arcsec=55.0,
    source_id=("ZTF Name", "3FGL Name"),
    constant_type="blazar",
    redshift="Redshift",
    designation=True,
)

_ALLWISE = CatalogueLayout(
    ra="RAJ2000",
    dec="DEJ2000",
    version="2013",
    reference="Cutri et al. 2014, CDS II/328",
    radius_arcsec=2.0,
    sigma_arcsec=0.1,
    # Mean of 2010, the year of the cold mission; the proper motions that it lists are not free of parallax.
    epoch=2010.5,
    source_id="AllWISE",
    constant_type="infrared source",
    numbers={
        "ra_error_arcsec": Column(("eeMaj",)),
        "dec_error_arcsec": Column(("eeMin",)),
    },
    magnitudes=(("W1", ("W1mag",)),),
    order=5,
)

LAYOUTS: Mapping[str, CatalogueLayout] = {
    "3hsp": CatalogueLayout(
        ra="R.A.",
        dec="Dec",
        version="2019",
        reference="Chang et al. 2019, doi:10.1051/0004-6361/201834526",
        radius_arcsec=3.0,
        sigma_arcsec=0.7,
        source_id="3HSP Source name",
        constant_type="blazar",
        sexagesimal=True,
    ),
    "4lac": _FERMI_AGN,
    "allwise": _ALLWISE,
    "ctao_blazars": _CTAO,
    "gaia": _GAIA,
    "gcvs": CatalogueLayout(
        ra=("ra", "RAJ2000"),
        dec=("dec", "DEJ2000"),
        version="5.1",
        reference="Samus et al. 2017, doi:10.1134/S1063772917010085",
        radius_arcsec=1.5,
        sigma_arcsec=0.5,
        source_id="GCVS",
        object_type="VarType",
        magnitudes=(("max", ("magMax",)),),
        optional=frozenset({"source_id"}),
    ),
    "glade": _GLADE,
    "known_tde": CatalogueLayout(
        ra="ra",
        dec="dec",
        version="2024",
        reference="TNS classification reports",
        radius_arcsec=2.0,
        sigma_arcsec=0.5,
        source_id="name",
        constant_type="TDE",
    ),
    "mangrove": CatalogueLayout(
        ra="ra",
        dec="dec",
        version="2020",
        reference="Ducoin et al. 2020, doi:10.1093/mnras/staa114",
        radius_arcsec=30.0,
        sigma_arcsec=8.0,
        source_id=("HyperLEDA_name", "2MASS_name"),
        constant_type="galaxy",
        galaxy_types=(EVERY_TYPE,),
        distance_mpc="lum_dist",
    ),
    "ps1": _PS1,
    "simbad": _SIMBAD,
    "spicy": CatalogueLayout(
        ra="RAdeg",
        dec="DEdeg",
        version="2021",
        reference="Kuhn et al. 2021, doi:10.3847/1538-4365/abe465",
        radius_arcsec=1.5,
        sigma_arcsec=0.3,
        object_type="class",
    ),
    "symbiotic_cv": CatalogueLayout(
        ra="RA(J2000)",
        dec="DEC(J2000)",
        version="2023",
        reference="Ritter & Kolb 2003; Merc et al. 2019",
        radius_arcsec=2.0,
        sigma_arcsec=0.7,
        source_id="Name",
        object_type="source",
        magnitudes=(("", ("magnitude",)),),
        sexagesimal=True,
    ),
    "tns": _TNS,
    "vsx": CatalogueLayout(
        ra="RAJ2000",
        dec="DEJ2000",
        version="2024",
        reference="Watson et al. 2006, AAVSO; CDS B/vsx",
        radius_arcsec=1.5,
        sigma_arcsec=0.5,
        source_id="Name",
        object_type=("VType", "Type"),
        magnitudes=(("max", ("max",)),),
        optional=frozenset({"source_id"}),
    ),
}
"""Catalogues that are known by name. Radii: as brokers match these tables; a host galaxy's is its optical size."""
