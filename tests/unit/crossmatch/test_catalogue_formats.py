from __future__ import annotations

import gzip
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from graph.errors import ConfigurationError
from ingest.catalogue import LAYOUTS, CatalogueLayout, build_catalogue
from ingest.catalogues.stored import SCHEMA, read_info
from ingest.crossmatch import Catalogue, crossmatch

if TYPE_CHECKING:
    from pathlib import Path


TABLE = Table({"ra": [1.0] * 500, "dec": [2.0] * 500, "VarType": ["EB"] * 500})


def rows_of(folder: Path) -> pd.DataFrame:
    parts = [pq.read_table(path, schema=SCHEMA, partitioning=None) for path in sorted(folder.rglob("part.parquet"))]
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return frame.sort_values("source_id", ignore_index=True)


GAIA = """# %ECSV 1.0
# ---
# delimiter: ','
designation,source_id,ref_epoch,ra,ra_error,dec,dec_error,parallax,parallax_error,pmra,pmra_error,pmdec,pmdec_error,\
phot_g_mean_mag
x,4472832130942575872,2016.0,269.4485,0.0262,4.73942,0.0290,546.9759,0.0401,-801.551,0.032,10362.394,0.036,8.193974
x,9007199254740993,2016.0,10.0,0.5,20.0,0.5,null,null,null,null,null,null,20.9
x,3,2016.0,null,0.5,20.0,0.5,1.0,0.1,2.0,0.1,3.0,0.1,18.0
"""

GLADE_PLUS = """\
1 43495 NGC4736 NGC4736 12505314+4107125 null null G 192.721451 41.120152 8.71 0.09 0 -19.7 6.03 0.02 5.35 0.02 \
5.11 0.02 5.2 0.01 5.2 0.01 0 null null 0.00111 0.0018 1 0.0003 0.0001 4.39 0.3 3 3.9 0.1 0 1.2e-5 3e-7
2 null null null null null 000000.15+353104.2 Q 0.000629 35.517841 null null null null null null null null \
null null null null null null null null null 0.845435 0.844079 0 null null 5331.0 null 1 null null null null null
"""


def test_gaia_is_read_as_the_archive_publishes_it(tmp_path: Path) -> None:
    (tmp_path / "GaiaSource_1.csv.gz").write_bytes(gzip.compress(GAIA.encode()))
    info = build_catalogue("gaia", tmp_path / "GaiaSource_1.csv.gz", tmp_path / "out")
    assert (info.n, info.n_dropped, info.order) == (2, 1, 5)
    one, two = rows_of(tmp_path / "out" / "gaia").to_dict("records")
    assert (one["source_id"], two["source_id"]) == ("4472832130942575872", "9007199254740993")
    assert (one["magnitude"], one["band"], one["epoch_jyear"]) == (8.193974, "G", 2016.0)
    assert (one["pm_ra_masyr"], one["pm_dec_masyr"], one["parallax_mas"]) == (-801.551, 10362.394, 546.9759)
    assert one["pm_sigma_masyr"] == pytest.approx(np.sqrt((0.032**2 + 0.036**2) / 2))
    assert one["sigma_arcsec"] == pytest.approx(1e-3 * np.sqrt(1 + (0.0262**2 + 0.0290**2) / 2))
    assert np.isnan([two[name] for name in ("pm_ra_masyr", "pm_dec_masyr", "parallax_mas", "pm_sigma_masyr")]).all()
    assert list(info.fastest_masyr.values()) == [pytest.approx(np.hypot(801.551, 10362.394))]


def test_simbad_types_and_shapes(tmp_path: Path) -> None:
    table = Table(
        {
            "main_id": ["M  31", "* alf Ori", "NGC 1"],
            "ra": [10.684708, 88.792939, 1.816],
            "dec": [41.26875, 7.407064, 27.708],
            "otype": ["AGN", "s*r", "G"],
            "pmra": np.ma.masked_invalid([np.nan, 27.54, np.nan]),
            "pmdec": np.ma.masked_invalid([np.nan, 11.3, np.nan]),
            "rvz_redshift": np.ma.masked_invalid([-0.001, np.nan, 0.01518]),
            "galdim_majaxis": np.ma.masked_invalid([199.53, np.nan, 1.6]),
            "galdim_minaxis": np.ma.masked_invalid([70.79, np.nan, 1.1]),
            "galdim_angle": np.ma.masked_invalid([35.0, np.nan, 110.0]),
            "V": np.ma.masked_invalid([3.44, 0.42, 13.4]),
        }
    )
    table.write(tmp_path / "simbad.vot", format="votable")
    build_catalogue("simbad", tmp_path / "simbad.vot", tmp_path / "out")
    star, andromeda, ngc = rows_of(tmp_path / "out" / "simbad").to_dict("records")
    assert [row["object_type"] for row in (star, andromeda, ngc)] == ["s*r", "AGN", "G"]
    assert andromeda["semi_major_arcsec"] == pytest.approx(199.53 * 30)
    assert ngc["axis_ratio"] == pytest.approx(1.1 / 1.6)
    assert (ngc["position_angle_deg"], ngc["redshift"], ngc["magnitude"], ngc["band"]) == (110.0, 0.01518, 13.4, "V")
    # A redshift below zero is a motion, not a distance.
    assert np.isnan(andromeda["redshift"])
    assert star["pm_ra_masyr"] == 27.54


def test_pan_starrs_scores_become_types(tmp_path: Path) -> None:
    lines = [
        "objID,raMean,decMean,raMeanErr,decMeanErr,epochMean,ps_score,gMeanPSFMag,rMeanKronMag,rMeanPSFMag,iMeanKronMag",
        "122881990000123456,199.0,12.4,0.01,0.02,56289.0,0.99,18.1,17.5,17.4,17.2",
        "122881990000123457,199.1,12.4,-999,-999,56289.0,0.01,18.1,-999,17.4,17.2",
        "122881990000123458,199.2,12.4,0.01,0.02,-999,0.7,18.1,-999,-999,-999",
        "122881990000123459,199.3,12.4,0.01,0.02,56289.0,-999,-999,-999,-999,-999",
    ]
    (tmp_path / "ps1.csv").write_text("\n".join(lines))
    build_catalogue("ps1", tmp_path / "ps1.csv", tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "ps1")
    assert rows["source_id"].tolist() == [str(122881990000123456 + i) for i in range(4)]
    assert rows["object_type"].tolist() == ["star", "galaxy", "uncertain", "uncertain"]
    assert rows["band"].tolist() == ["r", "r", "g", ""]
    np.testing.assert_allclose(rows["magnitude"], [17.5, 17.4, 18.1, np.nan])
    np.testing.assert_allclose(rows["epoch_jyear"], [2012.99, 2012.99, 2012.0, 2012.99], atol=0.01)
    assert rows["sigma_arcsec"][1] == 0.02


def test_tns_has_a_line_above_its_header(tmp_path: Path) -> None:
    text = (
        '"2026-11-21 00:00:00 - 23:59:59"\n'
        '"objid","name_prefix","name","ra","declination","redshift","typeid","type","discoverymag","filter"\n'
        '"27","SN","2011fe","210.773750","54.273694","0.000804","3","SN Ia","17.2","11"\n'
        '"28","AT","2026abc","12.5","-3.25","","","","19.5","110"\n'
        '"29","","","","","","","","",""\n'
    )
    with zipfile.ZipFile(tmp_path / "tns_public_objects.csv.zip", "w") as packed:
        packed.writestr("tns_public_objects.csv", text)
    info = build_catalogue("tns", tmp_path / "tns_public_objects.csv.zip", tmp_path / "out")
    assert (info.n, info.n_dropped) == (2, 1)
    rows = rows_of(tmp_path / "out" / "tns")
    assert rows["source_id"].tolist() == ["AT 2026abc", "SN 2011fe"]
    assert rows["object_type"].tolist() == ["unclassified", "SN Ia"]
    np.testing.assert_allclose(rows["redshift"], [np.nan, 0.000804])


def test_glade_plus_is_read_from_its_text(tmp_path: Path) -> None:
    (tmp_path / "GLADE+.txt").write_text(GLADE_PLUS)
    build_catalogue("glade", tmp_path / "GLADE+.txt", tmp_path / "out")
    quasar, galaxy = rows_of(tmp_path / "out" / "glade").to_dict("records")
    assert (quasar["source_id"], galaxy["source_id"]) == ("000000.15+353104.2", "NGC4736")
    assert (galaxy["distance_mpc"], galaxy["distance_err_mpc"], galaxy["redshift"]) == (4.39, 0.3, 0.00111)
    assert (galaxy["magnitude"], galaxy["band"]) == (8.71, "B")
    assert np.isnan(quasar["magnitude"])


def test_masked_values_of_glade_are_absent(tmp_path: Path) -> None:
    lines = [
        ",ra,dec,distmpc,distmpc.mask,magb,magb.mask,magk,magk.mask,2MASS,GWGC,PGC,HyperLEDA,z,z.mask",
        "0,11.8,-24.3,244.2,False,14.9,False,11.1,False,b'00470752-2422143',b'---',b'<NA>',b'ESO474-026',0.02,False",
        "1,11.9,-24.3,100.0,True,14.9,True,11.1,False,b'2',b'---',b'<NA>',b'---',0.02,True",
    ]
    (tmp_path / "glade.csv").write_text("\n".join(lines))
    build_catalogue("glade", tmp_path / "glade.csv", tmp_path / "out")
    masked, whole = rows_of(tmp_path / "out" / "glade").to_dict("records")
    assert (whole["source_id"], whole["distance_mpc"], whole["band"], whole["magnitude"]) == (
        "ESO474-026",
        244.2,
        "B",
        14.9,
    )
    assert (masked["source_id"], masked["band"], masked["magnitude"]) == ("2", "K", 11.1)
    assert np.isnan([masked["distance_mpc"], masked["redshift"]]).all()


def test_chunks_files_and_formats_give_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"ra": rng.uniform(0, 360, 999), "dec": rng.uniform(-90, 90, 999), "class": "x"})
    frame["id"] = 2**53 + 1 + np.arange(999)
    layout = CatalogueLayout(
        ra="ra",
        dec="dec",
        version="1",
        reference="r",
        radius_arcsec=1,
        sigma_arcsec=1,
        source_id="ID",
        object_type="class",
        order=0,
    )
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.iloc[:500].to_csv(tmp_path / "a.csv.gz", index=False)
    frame.iloc[500:].to_parquet(tmp_path / "b.parquet")
    Table.from_pandas(frame).write(tmp_path / "t.fits")
    Table.from_pandas(frame).write(tmp_path / "t.vot", format="votable")
    wanted: dict[str, bytes] = {}
    for number, sources in enumerate((["t.parquet"], ["t.csv"], ["b.parquet", "a.csv.gz"], ["t.fits"], ["t.vot"])):
        out = tmp_path / f"out{number}"
        info = build_catalogue("t", [tmp_path / name for name in sources], out, layout, chunk_rows=100 + number)
        assert info.n == 999
        found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("part.parquet")}
        wanted = wanted or found
        assert found == wanted
    assert rows_of(tmp_path / "out0")["source_id"].iloc[0] == str(2**53 + 1)


def test_a_needed_column_is_missed_and_an_optional_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "gaia.csv").write_text("source_id,ra,dec\n1,2,3\n")
    with pytest.raises(ConfigurationError, match=r"no column pmra, pmdec"):
        build_catalogue("gaia", tmp_path / "gaia.csv", tmp_path / "out")
    (tmp_path / "vsx.csv").write_text("Name,RAJ2000,DEJ2000,Type,max\nRR Lyr,291.366,42.784,RRAB,7.06\n")
    build_catalogue("vsx", tmp_path / "vsx.csv", tmp_path / "out")
    assert rows_of(tmp_path / "out" / "vsx")["source_id"].tolist() == ["RR Lyr"]


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    TABLE.to_pandas().to_csv(tmp_path / "t.csv.gz")
    TABLE.write(tmp_path / "t.fits")
    TABLE.write(tmp_path / "t.vot", format="votable")
    for name in ("t.csv.gz", "t.fits", "t.vot"):
        whole = (tmp_path / name).read_bytes()
        for part in (b"", whole[: len(whole) // 3], b"\0<<>>" + whole[40:]):
            (tmp_path / f"damaged-{name}").write_bytes(part)
            with pytest.raises(ConfigurationError) as refused:
                build_catalogue("gcvs", tmp_path / f"damaged-{name}", tmp_path / f"out-{len(part)}-{name}")
            assert "\n" not in str(refused.value)
    for name in ("absent.csv", "absent.fits", "absent.vot", "absent.parquet"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            build_catalogue("gcvs", tmp_path / name, tmp_path / "out")
    with pytest.raises(ConfigurationError, match="neither"):
        build_catalogue("gcvs", tmp_path / "gcvs.txt", tmp_path / "out")


def test_a_catalogue_of_an_older_format_must_be_built_again(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ra,dec,VarType\n1,2,EB\n")
    info = build_catalogue("gcvs", tmp_path / "t.csv", tmp_path / "out")
    path = tmp_path / "out" / "gcvs" / "metadata.json"
    assert read_info(path.parent) == info
    stated = json.loads(path.read_text())
    for name in ("format", "fastest_masyr", "galaxy_types", "moving_epochs"):
        del stated[name]
    path.write_text(json.dumps(stated))
    with pytest.raises(ConfigurationError, match="build it again"):
        Catalogue.open(path.parent)


SUBSETS = {
    "3hsp": (["3hsp.csv"], 2013, 0),
    "4lac": (["4lac_dr3_h.fits", "4lac_dr3_l.fits"], 3407 + 407, 0),
    "allwise": (["allwise_xmatch_ztf.csv.gz"], 5440, 0),
    "ctao_blazars": (["ctao_blazars_ztf.parquet"], 350, 0),
    "gcvs": (["gcvs.parquet"], 59099, 0),
    "glade": (["glade_gw_sample.csv"], 2000, 0),
    "known_tde": (["known_tde.parquet"], 148, 0),
    "mangrove": (["mangrove_subset.parquet"], 16623, 0),
    "spicy": (["spicy_yso_subset.parquet"], 13859, 0),
    "symbiotic_cv": (["symbiotic_and_cv.parquet"], 2846, 11),
    "vsx": (["vsx_subset.parquet"], 30462, 0),
}


@pytest.mark.parametrize("name", sorted(SUBSETS))
def test_every_recorded_subset_is_built(shared_data: Path, tmp_path: Path, name: str) -> None:
    files, n, n_dropped = SUBSETS[name]
    sources = [shared_data / "alerts" / "catalogues" / file for file in files]
    # One coarse order, because an almost empty catalogue of many cells is slow to write.
    layout = CatalogueLayout(**{**{f: getattr(LAYOUTS[name], f) for f in CatalogueLayout.__slots__}, "order": 1})
    info = build_catalogue(name, sources, tmp_path, layout, chunk_rows=25_000)
    assert (info.n, info.n_dropped) == (n, n_dropped)
    rows = rows_of(tmp_path / name)
    assert (rows["source_id"] != "").all()
    assert (rows["object_type"] != "").mean() > 0.99
    found = crossmatch([Catalogue.open(tmp_path / name)], rows["ra_deg"].to_numpy(), rows["dec_deg"].to_numpy())
    assert len(found) == n
    np.testing.assert_allclose(found.separation_arcsec, 0.0, atol=1e-6)


def test_a_position_is_read_from_a_designation(shared_data: Path, tmp_path: Path) -> None:
    catalogues = shared_data / "alerts" / "catalogues"
    build_catalogue("ctao_blazars", catalogues / "ctao_blazars_ztf.parquet", tmp_path)
    parts = [Table.read(catalogues / f"4lac_dr3_{part}.fits", unit_parse_strict="silent") for part in "hl"]
    ra, dec = (np.concatenate([np.array(part[f"{axis}_Counterpart"]) for part in parts]) for axis in ("RA", "DEC"))
    found = crossmatch([Catalogue.open(tmp_path / "ctao_blazars")], ra, dec)
    # Nearly all blazars of 3FHL are in 4LAC, at their true places; names that are cut off must not shift them.
    assert len(set(found.source_id.tolist())) > 0.94 * 350
    assert np.median(found.probability) > 0.9
    true_ra, true_dec = ra[found.row], dec[found.row]
    east = (true_ra - found.ra_deg + 180.0) % 360.0 - 180.0
    assert abs(np.median(east * np.cos(np.radians(true_dec)))) * 3600.0 < 12.0
    assert abs(np.median(true_dec - found.dec_deg)) * 3600.0 < 12.0
